from collections.abc import Sequence

from llmhard.engine.batch import Batch
from llmhard.engine.tape import Tape
from llmhard.engine.values import Matrix, Value, Vector

def adam_update(
    parameters: Sequence[Value | Vector | Matrix],
    means: Sequence[Value | Vector | Matrix],
    squares: Sequence[Value | Vector | Matrix],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    t: int,
    weight_decay: float = 0.0,
    tape: Tape | Batch | None = None,
) -> None: ...
def average_update(
    means: Sequence[Value | Vector | Matrix],
    parameters: Sequence[Value | Vector | Matrix],
    *,
    share: float,
) -> None: ...
