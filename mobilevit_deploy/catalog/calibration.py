"""What int8 is calibrated on, as it is typed."""

from mobilevit_deploy.errors import UsageError

STRUCTURED = "structured"  # what --calibrate takes in place of images, for demos
# With 20 images a trained cas_vit_xs kept 25 dB of its logits, with 100 it kept 28 dB, with 200 it kept 26 dB.
CALIBRATION_IMAGES = 100
NO_IMAGES = "int8 chooses its ranges by images, and there are none"


def check_calibrated(precision: str, *, calibrated: bool) -> None:
    """Raises UsageError for int8 without images to calibrate it on."""
    if precision == "int8" and not calibrated:
        raise UsageError(
            NO_IMAGES,
            f"add --calibrate DIR|FILE with some {CALIBRATION_IMAGES} images of the kind that the model will see, or "
            f"--calibrate {STRUCTURED} for a demo",
        )


def check_int8_options(precision: str | None, *, calibrated: bool, sensitivity: bool) -> None:
    """Raises UsageError for an option that int8 alone has, with another precision."""
    if precision == "int8":
        return
    if calibrated:
        raise UsageError("--calibrate is for int8", "add --precision int8, or use mvd quantize")
    if sensitivity:
        raise UsageError("--sensitivity is for int8", "leave it out")
