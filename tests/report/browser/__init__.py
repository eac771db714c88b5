import pytest

pytest.register_assert_rewrite("tests.report.browser.checks")  # so that a check says what it saw
