package ai.onnxruntime;

public final class OrtEnvironment {
    public static OrtEnvironment getEnvironment() { throw new UnsupportedOperationException(); }
    public OrtSession createSession(byte[] modelArray) throws OrtException { throw new UnsupportedOperationException(); }
}
