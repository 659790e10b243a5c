"""What can go wrong."""


class EdgeflowError(RuntimeError):
    """The control plane or the program `edgeflow` refused, or could not be reached.

    Attributes:
        status: HTTP status, where the control plane answered with one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
