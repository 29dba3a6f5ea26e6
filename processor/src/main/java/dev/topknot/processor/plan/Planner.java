package dev.topknot.processor.plan;

import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Spec;
import java.util.ArrayList;
import java.util.List;

/** Compiles a checked spec to a plan: lowers each layer to calls, then places every buffer. */
public final class Planner {
  private final Parameters parameters = new Parameters();
  private final List<ProgramPlan> programs = new ArrayList<>();

  private Planner() {}

  /**
   * Plans a spec.
   *
   * @throws ArithmeticException if a size does not fit 64 bits, which checked specs rule out
   */
  public static Plan plan(Spec spec) {
    Planner planner = new Planner();
    Tile tile = Tile.of(spec.precision());
    if (spec instanceof LayerSpec layer) {
      planner.program(
          Program.TRAIN, (int) layer.tokens(), planner.layer(layer, tile, Program.TRAIN));
      planner.program(
          Program.EVALUATE, (int) layer.tokens(), planner.layer(layer, tile, Program.EVALUATE));
    } else if (spec instanceof ModelSpec model) {
      for (Program program : Program.values()) {
        boolean one = program == Program.GENERATE;
        int batch = one ? 1 : model.batch();
        int timesteps = one ? 1 : model.timesteps();
        List<LayerPlan> layers =
            new ModelLowering(program, planner.parameters, tile, batch, timesteps).lower(model);
        planner.program(program, batch * timesteps, layers);
      }
    }
    return new Plan(
        spec,
        planner.parameters.all(),
        planner.parameters.size(),
        planner.programs,
        Counts.of(spec));
  }

  private List<LayerPlan> layer(LayerSpec spec, Tile tile, Program program) {
    int tokens = (int) spec.tokens();
    int width = spec.width();
    LayerBuilder builder = new LayerBuilder("", MoELowering.title(spec.moe(), width));
    MoELowering.Ends ends =
        new MoELowering.Ends(
            builder.local("x", call("x", tokens, width)),
            builder.local("y", call("y", tokens, width)),
            call("dy", tokens, width),
            call("dx", tokens, width));
    if (program == Program.TRAIN) {
      builder.local("dy", ends.dy());
      builder.local("dx", ends.dx());
    }
    new MoELowering(program, parameters, tile, "", tokens, width, 0)
        .lower(spec.moe(), ends, builder);
    builder.output(ends.y());
    return List.of(builder.build());
  }

  private static Buffer call(String name, int tokens, int width) {
    return new Buffer(name, Region.CALL, tokens, width, false);
  }

  private void program(Program program, int tokens, List<LayerPlan> layers) {
    List<Call> calls = ProgramPlan.calls(layers);
    List<Buffer> kept = new ArrayList<>();
    List<Buffer> state = new ArrayList<>();
    for (LayerPlan layer : layers) {
      layer.balance().ifPresent(source -> kept.addAll(source.buffers()));
      layer.routing().ifPresent(source -> kept.addAll(source.buffers()));
      layer.locals().values().stream().filter(b -> b.region() == Region.STATE).forEach(state::add);
    }
    Memory workspace = Memory.share(calls, kept);
    programs.add(
        new ProgramPlan(program, tokens, layers, workspace, Memory.sequence(state, calls.size())));
  }
}
