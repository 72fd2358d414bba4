from tests.answers.conftest import answers, sold  # noqa: F401
