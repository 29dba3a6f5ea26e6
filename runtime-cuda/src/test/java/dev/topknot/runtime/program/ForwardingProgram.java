package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.cpu.CpuProgram;
import dev.topknot.runtime.cpu.Run;
import java.util.List;

/** A training program that leaves everything to another. */
class ForwardingProgram implements CpuProgram {
  private final CpuProgram delegate;

  ForwardingProgram(CpuProgram delegate) {
    this.delegate = delegate;
  }

  @Override
  public void forward(Run run) {
    delegate.forward(run);
  }

  @Override
  public void backward(Run run) {
    delegate.backward(run);
  }

  @Override
  public void norm(Run run) {
    delegate.norm(run);
  }

  @Override
  public void update(Run run) {
    delegate.update(run);
  }

  @Override
  public void commit(Run run) {
    delegate.commit(run);
  }

  @Override
  public List<Balance> balances(Run run) {
    return delegate.balances(run);
  }
}
