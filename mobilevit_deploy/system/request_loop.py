"""Answers what is asked of a worker, a JSON request and an answer a line, until its standard input ends."""

import json
import sys

from mobilevit_deploy.system.parent_watch import end_with_parent
from mobilevit_deploy.system.timing_loop import take_stdout


def answer_requests(server: object) -> None:
    """Answers each request by the method that its ``command`` names; what that raises is the answer's ``error``.

    Args:
        server: its methods take a request's other entries, and return what JSON takes. Requests come from the program
            that started the worker, and from nobody else.
    """
    end_with_parent()
    answers = take_stdout()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(server, request.pop("command"))(**request)
        except Exception as error:  # the packages of Apple, Google and their like raise many kinds
            answer = {"error": _describe(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _describe(error: BaseException) -> str:
    """Returns the innermost reason, a line."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
