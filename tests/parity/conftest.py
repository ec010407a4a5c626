"""What the comparisons with PyTorch's libraries share: they need `torch`, `torchvision` and `timm`."""

import pytest


@pytest.fixture(scope="session")
def timm():
    """timm, on top of a torchvision whose compiled operators may be missing.

    A torchvision wheel linked against CUDA cannot load its operators beside a CPU build of PyTorch; its import ends
    where it describes the shapes of `torchvision::nms` to the compiler. No classifier uses these operators: the
    descriptions are dropped.
    """
    import torch

    describe = torch.library.register_fake

    def all_but_torchvision(op, *args, **kwargs):
        if str(op).startswith("torchvision::"):
            return lambda function: function
        return describe(op, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.library, "register_fake", all_but_torchvision)
        import torchvision  # noqa: F401
    import timm

    torch.set_num_threads(1)
    return timm
