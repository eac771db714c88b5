import subprocess
import sys

SCRIPT = """
import sys, warnings
sys.modules.update(dict.fromkeys(["torch", "sklearn"]))  # not asked about here, and five seconds of coremltools' import
from mobilevit_deploy.targets.coreml.mil.specification import color_space_name, parse_model
model = parse_model(b"")
assert color_space_name(30) == "BGR"
assert "coremltools" not in sys.modules
warnings.simplefilter("ignore")
import coremltools
assert type(model) is coremltools.proto.Model_pb2.Model
"""


def test_the_format_is_read_without_coremltools_and_beside_it() -> None:
    process = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
