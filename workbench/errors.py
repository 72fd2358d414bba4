"""What can go wrong through a user's recipe, data or cache: each message says where, what was found, what was
expected and what to do. Exit code 2 for recipe and data, 1 for a run that failed."""


class MlimError(Exception):
    """Base of all errors that are shown without a traceback."""

    exit_code = 1


class RecipeError(MlimError):
    """A recipe that can't be read: unknown key, wrong type, unset variable, missing file."""

    exit_code = 2


class DataError(MlimError):
    """A feed, a picture archive or a pairs file that can't be used as the recipe says."""

    exit_code = 2


class ArtifactError(MlimError):
    """A cached artifact that is damaged, locked or made from other inputs."""


class ClusterError(MlimError):
    """A cluster that can't be reached, whose machines lack what a run needs, or that lost a piece of work for good."""


class Interrupted(MlimError):
    """The user stopped a run (Ctrl-C or SIGTERM); the state was saved and the message says how to go on."""


class Terminated(BaseException):
    """SIGTERM, outside of trainings, which are asked to save. Like Ctrl-C no `Exception`: who takes whatever is raised
    by a decoder for a damaged picture must not take this for one."""


class Told(MlimError):
    """The user was told why by another process of the same command; this one ends with its exit code."""

    def __init__(self, exit_code: int, words: str = "told by another process") -> None:
        super().__init__(words)
        self.exit_code = exit_code
