package dev.topknot.benchmark;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.OperatorSetIdProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TensorShapeProto;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.OrtSession.SessionOptions;
import com.google.protobuf.ByteString;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The same layer on ONNX Runtime, forward only: a product of the gate, then its operator {@code
 * com.microsoft.MoE}. The operator takes the softmax over all experts, keeps the k greatest and
 * divides them by their sum, which is the softmax over the k greatest logits.
 *
 * <p>Weights are inputs that stay in place, no slower than constants of the model and not bounded
 * by its 2 GB. Whether waiting threads spin is tried before anything is timed.
 */
final class OnnxRuntimeLayer implements Peer {
  private static final int IR_VERSION = 8;
  private static final int OPSET = 17;
  private static final String CONTRIB = "com.microsoft";

  private final Workload.Layer layer;
  private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
  private final List<Way> ways = new ArrayList<>();
  private final Map<String, OnnxTensor> inputs;
  private final FloatBuffer y;
  private final Map<String, OnnxTensor> outputs;
  private final Way fastest;

  /** A session and what is special about it. */
  private record Way(OrtSession session, String words) {}

  OnnxRuntimeLayer(Workload.Layer layer, int threads) {
    this.layer = layer;
    LayerValues values = new LayerValues(layer);
    FloatBuffer x = floats(layer.tokens(), layer.width()).put(values.x());
    FloatBuffer w1 = floats(layer.experts(), layer.hidden(), layer.width());
    FloatBuffer w2 = floats(layer.experts(), layer.width(), layer.hidden());
    for (int expert = 0; expert < layer.experts(); expert++) {
      w1.put(values.w1(expert));
      w2.put(values.w2(expert));
    }
    y = floats(layer.tokens(), layer.width());
    try {
      inputs =
          Map.of(
              "x", tensor(x, layer.tokens(), layer.width()),
              "w1", tensor(w1, layer.experts(), layer.hidden(), layer.width()),
              "w2", tensor(w2, layer.experts(), layer.width(), layer.hidden()));
      outputs = Map.of("y", tensor(y, layer.tokens(), layer.width()));
      byte[] model = model(values).toByteArray();
      ways.add(new Way(session(model, threads, false), "waiting threads sleep"));
      ways.add(new Way(session(model, threads, true), "waiting threads spin"));
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
    fastest = Fastest.of(ways, this::run);
  }

  private static FloatBuffer floats(int... shape) {
    int size = Float.BYTES;
    for (int length : shape) {
      size = Math.multiplyExact(size, length);
    }
    return ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder()).asFloatBuffer();
  }

  /** A view of the buffer. */
  private OnnxTensor tensor(FloatBuffer buffer, long... shape) throws OrtException {
    return OnnxTensor.createTensor(environment, buffer.rewind(), shape);
  }

  private OrtSession session(byte[] model, int threads, boolean spin) throws OrtException {
    try (SessionOptions options = new SessionOptions()) {
      options.setIntraOpNumThreads(threads);
      options.setOptimizationLevel(SessionOptions.OptLevel.ALL_OPT);
      options.addConfigEntry("session.intra_op.allow_spinning", spin ? "1" : "0");
      return environment.createSession(model, options);
    }
  }

  private ModelProto model(LayerValues values) {
    GraphProto graph =
        GraphProto.newBuilder()
            .setName("layer")
            .addInput(value("x", layer.tokens(), layer.width()))
            .addInput(value("w1", layer.experts(), layer.hidden(), layer.width()))
            .addInput(value("w2", layer.experts(), layer.width(), layer.hidden()))
            .addOutput(value("y", layer.tokens(), layer.width()))
            .addInitializer(gate(values))
            .addNode(
                NodeProto.newBuilder()
                    .setOpType("Gemm")
                    .addInput("x")
                    .addInput("gate")
                    .addOutput("logits")
                    .addAttribute(integer("transB", 1)))
            .addNode(
                NodeProto.newBuilder()
                    .setDomain(CONTRIB)
                    .setOpType("MoE")
                    .addInput("x")
                    .addInput("logits")
                    .addInput("w1")
                    .addInput("") // no bias
                    .addInput("w2")
                    .addOutput("y")
                    .addAttribute(integer("k", layer.k()))
                    .addAttribute(integer("normalize_routing_weights", 1))
                    .addAttribute(
                        AttributeProto.newBuilder()
                            .setName("activation_type")
                            .setType(AttributeProto.AttributeType.STRING)
                            .setS(ByteString.copyFromUtf8("relu"))))
            .build();
    return ModelProto.newBuilder()
        .setIrVersion(IR_VERSION)
        .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(OPSET))
        .addOpsetImport(OperatorSetIdProto.newBuilder().setDomain(CONTRIB).setVersion(1))
        .setGraph(graph)
        .build();
  }

  private TensorProto gate(LayerValues values) {
    TensorProto.Builder tensor =
        TensorProto.newBuilder()
            .setName("gate")
            .setDataType(TensorProto.DataType.FLOAT_VALUE)
            .addDims(layer.experts())
            .addDims(layer.width());
    for (float weight : values.gate()) {
      tensor.addFloatData(weight);
    }
    return tensor.build();
  }

  private static ValueInfoProto value(String name, int... shape) {
    TensorShapeProto.Builder dimensions = TensorShapeProto.newBuilder();
    for (int length : shape) {
      dimensions.addDim(TensorShapeProto.Dimension.newBuilder().setDimValue(length));
    }
    TypeProto.Tensor type =
        TypeProto.Tensor.newBuilder()
            .setElemType(TensorProto.DataType.FLOAT_VALUE)
            .setShape(dimensions)
            .build();
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(TypeProto.newBuilder().setTensorType(type))
        .build();
  }

  private static AttributeProto integer(String name, long value) {
    return AttributeProto.newBuilder()
        .setName(name)
        .setType(AttributeProto.AttributeType.INT)
        .setI(value)
        .build();
  }

  private void run(Way way) {
    try {
      way.session().run(inputs, outputs).close();
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public String version() {
    return Side.ONNX_RUNTIME + " " + environment.getVersion();
  }

  @Override
  public void run(Task task) {
    run(fastest);
  }

  @Override
  public String way(Task task) {
    return fastest.words();
  }

  @Override
  public void results(Task task, Results.Writer out) throws IOException {
    run(fastest);
    float[] copy = new float[y.capacity()];
    y.get(0, copy);
    out.write("y", copy);
  }

  @Override
  public void close() {
    try {
      for (Way way : ways) {
        way.session().close();
      }
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
  }
}
