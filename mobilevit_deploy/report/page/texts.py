"""What the page says in a sentence: of a model's head, and of the user's own images."""

from mobilevit_deploy.export.records import Head, OwnAccuracy

LONGEST_LIST = 8  # names of classes


def head_text(head: Head) -> str:
    """Returns what a head returns, of which classes, and by which thresholds."""
    found = [f"{head.name}, {head.output}"]
    if head.num_classes is not None:
        more = ", ..." if len(head.classes) > LONGEST_LIST else ""
        names = f": {', '.join(head.classes[:LONGEST_LIST])}{more}" if head.classes else ", without names"
        found.append(f"{head.num_classes} classes{names}")
    if head.suppression:
        values = {
            "score above": head.suppression.score_threshold,
            "overlap up to": head.suppression.iou_threshold,
            "detections": head.suppression.max_detections,
        }
        found.append(", ".join(f"{name} {value:g}" for name, value in values.items() if value is not None))
    return "; ".join(found)


def accuracy_text(accuracy: OwnAccuracy) -> str:
    """Returns what the user's own images say."""
    found = [] if accuracy.agreeing is None else [f"the same class as PyTorch for {accuracy.agreeing}"]
    if accuracy.reference is not None and accuracy.artifact is not None:
        found.append(f"{accuracy.metric}: PyTorch {accuracy.reference:.1%}, this file {accuracy.artifact:.1%}")
    if (masks := accuracy.masks and accuracy.masks.ap) and masks.reference is not None and masks.artifact is not None:
        found.append(f"of masks: PyTorch {masks.reference:.1%}, this file {masks.artifact:.1%}")
    return f"{accuracy.images}; {'; '.join(found)}"
