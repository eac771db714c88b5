"""A segmenter and a detector, trained on shapes, and what each export of them costs in mIoU and AP."""
