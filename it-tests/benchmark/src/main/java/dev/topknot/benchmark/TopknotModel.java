package dev.topknot.benchmark;

import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Update;
import java.io.IOException;

/** A language model as Topknot compiled it. */
final class TopknotModel implements Peer {
  private static final Update ADAM = Update.of(ModelValues.RATE);

  private final LanguageModel model;
  private final Batch[] batches;
  private int steps;

  TopknotModel(Workload.Model workload, int threads) {
    batches = new ModelValues(workload).batches();
    model = workload.open().apply(Device.cpu(threads));
    for (Parameter parameter : model.parameters()) {
      int size = Math.toIntExact(parameter.value().size());
      parameter.value().copyFrom(ModelValues.parameter(parameter.name(), size));
    }
  }

  @Override
  public String version() {
    return Side.TOPKNOT.toString();
  }

  @Override
  public void run(Task task) {
    model.train(next(), ADAM);
  }

  private Batch next() {
    return batches[steps++ % batches.length];
  }

  @Override
  public void results(Task task, Results.Writer out) throws IOException {
    for (int step = 0; step < ModelValues.COMPARED_STEPS; step++) {
      out.write("loss of step " + step, (float) model.accumulate(next()));
      if (step == 0) {
        for (Parameter parameter : model.parameters()) {
          TopknotLayer.write(out, "gradient of " + parameter.name(), parameter.gradient());
        }
      }
      model.update(ADAM);
    }
  }

  @Override
  public void close() {
    model.close();
  }
}
