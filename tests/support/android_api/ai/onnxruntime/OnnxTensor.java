package ai.onnxruntime;

import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;

public class OnnxTensor implements OnnxValue {
    public static OnnxTensor createTensor(OrtEnvironment env, FloatBuffer data, long[] shape) throws OrtException { throw new UnsupportedOperationException(); }
    public TensorInfo getInfo() { throw new UnsupportedOperationException(); }
    public FloatBuffer getFloatBuffer() { throw new UnsupportedOperationException(); }
    public IntBuffer getIntBuffer() { throw new UnsupportedOperationException(); }
    public LongBuffer getLongBuffer() { throw new UnsupportedOperationException(); }
    @Override
    public void close() {}
}
