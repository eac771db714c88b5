"""``.tflite`` files, read as bytes: nothing in them is run, and no runtime looks at them."""
