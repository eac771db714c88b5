package ai.onnxruntime;

import java.util.Map;
import java.util.Optional;

public class OrtSession implements AutoCloseable {
    public Result run(Map<String, OnnxTensor> inputs) throws OrtException { throw new UnsupportedOperationException(); }
    @Override
    public void close() throws OrtException {}

    public static class Result implements AutoCloseable {
        public OnnxValue get(int index) { throw new UnsupportedOperationException(); }
        public Optional<OnnxValue> get(String key) { throw new UnsupportedOperationException(); }
        @Override
        public void close() {}
    }
}
