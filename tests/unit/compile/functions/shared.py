"""A module of the project that a step's function uses."""

SCALE = 2


class Model:
    def __init__(self, mean: float) -> None:
        self.mean = mean

    def predict(self) -> float:
        return self.mean * SCALE
