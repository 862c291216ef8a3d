"""SGD as torch has it, without what only `torch.compile` needs."""

from inspect import unwrap

import torch


class SGD(torch.optim.SGD):
    """torch's SGD, to be used where nothing is compiled.

    torch wraps these methods so that its compiler leaves them alone. The wrappers import that compiler at their first call, and
    with it a computer algebra system: 1.5 s of CPU for each process that trains.
    """

    add_param_group = unwrap(torch.optim.SGD.add_param_group)
    load_state_dict = unwrap(torch.optim.SGD.load_state_dict)
    state_dict = unwrap(torch.optim.SGD.state_dict)
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))  # that no gradients are taken is the wrapper's part
    zero_grad = unwrap(torch.optim.SGD.zero_grad)
