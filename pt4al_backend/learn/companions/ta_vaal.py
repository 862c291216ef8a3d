"""TA-VAAL (Kim, Park, Kim and Chun, CVPR 2021): VAAL whose codes also hold how large the model's loss seems to be.

A loss module is trained beside the main task, to tell which of two losses is larger (binary cross-entropy of the sigmoid of
the predictions' difference). Its prediction goes to VAAL's discriminator beside the code, and its sigmoid to the decoder; the
model and the module stay as they are while VAAL learns. One step of the autoencoder per iteration, KL divergence
averaged. As in ``learning_loss`` the module's loss reaches the body for 60 % of the training. Deviations, beside VAAL's: the
published code draws the predictions of the very first cycle at random, where there is a trained module already.
"""

from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.companions.learning_loss import CUT
from pt4al_backend.learn.companions.loss_prediction import WithModule
from pt4al_backend.learn.companions.vaal import Vaal
from pt4al_backend.learn.loop import Trainable
from pt4al_backend.learn.tasks.base import MainTask


class _Ranker(WithModule):
    def compare(self, predicted: Tensor, real: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(predicted, (real > 0).float()) if len(real) else real.sum()


class TaVaal(Vaal):
    """Confidence is the probability of being labelled, by the code and the predicted loss."""

    encoder_steps = 1
    mean_divergence = True
    extra = 1

    def __init__(self, task: MainTask) -> None:
        super().__init__(task)
        self._together = _Ranker(task, CUT)

    def beside(self) -> Trainable:
        return self._together

    def beside_code(self, images: Tensor) -> Tensor:
        predicted: Tensor = self._together.module(self.task.maps(images))
        return predicted[:, None]
