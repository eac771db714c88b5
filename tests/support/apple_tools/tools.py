"""The command lines of Apple's tools, each call in a log; runs without site-packages, so that it starts fast.

``STAND_IN`` is a folder: ``modes`` names what goes wrong, ``calls.jsonl`` is the log, the rest is the iPhone's.
"""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))  # this runs as a script

from tests.support.apple_tools import devicectl  # noqa: E402
from tests.support.apple_tools.state import State  # noqa: E402

SETTINGS = ("SYMROOT", "CODE_SIGN_STYLE", "DEVELOPMENT_TEAM", "PRODUCT_BUNDLE_IDENTIFIER", "CODE_SIGN_IDENTITY")


def xcrun(state: State, arguments: list[str]) -> int:
    if arguments[:1] == ["-f"]:
        if state.has("command_line_tools"):
            print(f'xcrun: error: unable to find utility "{arguments[1]}", not a developer tool', file=sys.stderr)
            return 72
        print(HERE / "bin" / arguments[1])
        return 0
    if arguments[:1] == ["devicectl"]:
        return devicectl.main(state, arguments[1:])
    print(f"xcrun: error: unable to find utility {arguments[0]!r}", file=sys.stderr)
    return 72


def xcodebuild(state: State, arguments: list[str]) -> int:
    if arguments == ["-version"]:
        if state.has("no_licence"):
            print(
                "You have not agreed to the Xcode license agreements.\nerror: run 'sudo xcodebuild -license'",
                file=sys.stderr,
            )
            return 69
        print("Xcode 26.1\nBuild version 17B55")
        return 0
    given = dict(item.split("=", 1) for item in arguments if item.split("=", 1)[0] in SETTINGS)
    app = Path(given["SYMROOT"]) / "Release-iphoneos" / "ModelRunner.app"
    app.mkdir(parents=True)  # Xcode makes it before it signs, so a failed build leaves it
    if state.has("build_fails"):
        print("Build settings from command line:\n    SDKROOT = iphoneos26.1")
        print('error: No Account for Team "A1B2C3D4E5". Add a new account in Accounts settings.')
        print("** BUILD FAILED **")
        return 65
    (app / "Info.json").write_text(json.dumps({"bundleID": given["PRODUCT_BUNDLE_IDENTIFIER"]}))
    print("** BUILD SUCCEEDED **")
    return 0


def sw_vers(_state: State, arguments: list[str]) -> int:
    print({"-productVersion": "26.1", "-buildVersion": "25B78"}[arguments[0]])
    return 0


def pmset(state: State, _arguments: list[str]) -> int:
    print(" \tCPU_Speed_Limit \t= 80" if state.has("hot") else "Note: No thermal warning level has been recorded")
    return 0


if __name__ == "__main__":
    name, given = sys.argv[1], sys.argv[2:]
    stand_in = State(Path(os.environ["STAND_IN"]))
    stand_in.log([name, *given])
    commands = {
        "xcrun": xcrun,
        "devicectl": devicectl.main,
        "xcodebuild": xcodebuild,
        "sw_vers": sw_vers,
        "pmset": pmset,
    }
    sys.exit(commands[name](stand_in, given))
