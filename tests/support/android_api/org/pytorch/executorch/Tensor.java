package org.pytorch.executorch;

public abstract class Tensor {
    public static Tensor fromBlob(float[] data, long[] shape) { throw new UnsupportedOperationException(); }
    public static Tensor fromBlob(int[] data, long[] shape) { throw new UnsupportedOperationException(); }
    public long[] shape() { throw new UnsupportedOperationException(); }
    public float[] getDataAsFloatArray() { throw new UnsupportedOperationException(); }
    public int[] getDataAsIntArray() { throw new UnsupportedOperationException(); }
}
