"""TA-VAAL (Kim, Park, Kim and Chun, CVPR 2021): VAAL with the model's predicted loss beside the latent code.

A loss module is trained beside the main task; it learns which of two losses is larger (binary cross-entropy of the sigmoid of
the predictions' difference). Its prediction goes to VAAL's discriminator beside the code, and its sigmoid to the decoder; the
model and the module stay as they are while VAAL learns. One step of the autoencoder per iteration, KL divergence
averaged. As in ``learning_loss`` the module's loss reaches the body for 60 % of the training. Deviations, beside VAAL's: the
published code draws the predictions of the very first cycle at random, where there is a trained module already.
"""

from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.companions.learning_loss import CUT
from pt4al_backend.learn.companions.loss_prediction import WithLossModule
from pt4al_backend.learn.companions.vaal import Vaal
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.tasks.base import MainTask


class _Ranker(WithLossModule):
    def compare(self, predicted: Tensor, real: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(predicted, (real > 0).float()) if len(real) else real.sum()


class TaVaal(Vaal):
    """Confidence is the probability of being labelled, by the code and the predicted loss."""

    encoder_steps = 1
    mean_divergence = True
    extra_width = 1

    def __init__(self, task: MainTask) -> None:
        super().__init__(task)
        self._ranker = _Ranker(task, CUT)

    def trainable(self) -> Trainable:
        return self._ranker

    def extra_inputs(self, images: Tensor) -> Tensor:
        predicted: Tensor = self._ranker.module(self.task.maps(images))
        return predicted[:, None]
