package dev.topknot.runtime.cpu;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A fixed pool of threads that runs numbered tasks together with its caller. Tasks are taken in
 * index order by whoever is free, so callers number the largest first. Which worker runs a task is
 * not determined; results must not depend on it.
 *
 * <p>A call allocates nothing. Between calls a worker spins for a few microseconds, then parks.
 * Several threads may call one pool: their calls run one after the other.
 */
public final class Workers {
  /** One numbered piece of work. */
  @FunctionalInterface
  public interface Task {
    /**
     * Runs one task.
     *
     * @param task its number, from 0
     * @param worker who runs it, from 0 to {@code threads() - 1}; no two tasks run at once under
     *     the same number
     */
    void run(int task, int worker);
  }

  private static final long SPIN_NANOS = 5_000;

  /** Floats between the arrays of two threads: the processor fetches cache lines in pairs. */
  private static final int APART = 32;

  private static final ConcurrentMap<Integer, Workers> POOLS = new ConcurrentHashMap<>();

  /** Whether this thread is inside a task; a box, so that entering allocates nothing. */
  private static final ThreadLocal<boolean[]> INSIDE =
      ThreadLocal.withInitial(() -> new boolean[1]);

  /** In the low half of {@link #ticket}: no call is running. */
  private static final int IDLE = Integer.MAX_VALUE;

  private final Worker[] workers;
  private final ReentrantLock lock = new ReentrantLock();

  /**
   * The number of the call in the high half, the next task in the low half. A worker claims a task
   * by advancing the low half, which fails when the call it looked at is over: the low half is IDLE
   * before the next call's fields are written.
   */
  private final AtomicLong ticket = new AtomicLong(IDLE);

  private final AtomicInteger done = new AtomicInteger();

  // Of the running call: written by its caller before the ticket, read by workers after it.
  private Task task;
  private int tasks;
  private volatile Thread caller;
  private volatile Throwable failure;

  private Workers(int threads) {
    workers = new Worker[threads - 1];
    for (int i = 0; i < workers.length; i++) {
      workers[i] = new Worker(i + 1, "topknot-" + threads + "-" + (i + 1));
      workers[i].setDaemon(true);
    }
  }

  /**
   * The pool of so many threads, the caller included; the same object for the same number.
   *
   * @throws IllegalArgumentException if {@code threads} is not positive
   */
  public static Workers of(int threads) {
    if (threads < 1) {
      throw new IllegalArgumentException("expected 1 thread or more, got " + threads);
    }
    return POOLS.computeIfAbsent(threads, Workers::start);
  }

  private static Workers start(int threads) {
    Workers pool = new Workers(threads);
    for (Worker worker : pool.workers) {
      worker.start();
    }
    return pool;
  }

  /** How many threads take part, the caller included. */
  public int threads() {
    return workers.length + 1;
  }

  /**
   * An array of at least {@code length} floats for each thread. No two have a cache line in common,
   * which threads that write to them would take from each other again and again.
   */
  float[][] arrays(int length) {
    return new float[threads()][Math.addExact(length, APART)];
  }

  /**
   * Runs tasks 0 to {@code tasks - 1} and returns when all are done. When a task throws, tasks not
   * yet begun are dropped and the exception is thrown here.
   *
   * @throws IllegalArgumentException if {@code tasks} is negative
   * @throws IllegalStateException if called from inside a task
   */
  public void parallel(int tasks, Task task) {
    if (tasks < 0 || tasks == IDLE) {
      throw new IllegalArgumentException("not a number of tasks: " + tasks);
    }
    boolean[] inside = INSIDE.get();
    if (inside[0]) {
      throw new IllegalStateException(
          "parallel(...) inside a task: tasks of a pool cannot start tasks themselves");
    }
    inside[0] = true;
    try {
      if (workers.length == 0 || tasks <= 1) {
        for (int i = 0; i < tasks; i++) {
          task.run(i, 0);
        }
      } else {
        share(tasks, task);
      }
    } finally {
      inside[0] = false;
    }
  }

  private void share(int tasks, Task task) {
    lock.lock();
    try {
      this.task = task;
      this.tasks = tasks;
      caller = Thread.currentThread();
      done.set(0);
      ticket.set(((ticket.get() >>> 32) + 1) << 32);
      for (int i = 0; i < Math.min(workers.length, tasks - 1); i++) {
        workers[i].wake();
      }
      take(0);
      awaitDone(tasks);
      ticket.set(ticket.get() | IDLE);
      Throwable thrown = failure;
      this.task = null;
      caller = null;
      failure = null;
      if (thrown instanceof Error error) {
        throw error;
      }
      if (thrown != null) { // a task declares no checked exception
        throw (RuntimeException) thrown;
      }
    } finally {
      lock.unlock();
    }
  }

  private void awaitDone(int tasks) {
    long start = System.nanoTime();
    while (done.get() < tasks) {
      if (System.nanoTime() - start < SPIN_NANOS) {
        Thread.onSpinWait();
      } else {
        LockSupport.park(this);
      }
    }
  }

  /** Takes tasks of the running call until none is left. */
  private void take(int worker) {
    for (; ; ) {
      long seen = ticket.get();
      Task running = task;
      int count = tasks;
      int next = (int) seen;
      if (next == IDLE || next >= count) {
        return;
      }
      if (ticket.compareAndSet(seen, seen + 1)) {
        try {
          if (failure == null) {
            running.run(next, worker);
          }
        } catch (RuntimeException | Error e) { // the caller throws it
          failure = e;
        }
        Thread waiting = caller;
        if (done.incrementAndGet() == count) {
          LockSupport.unpark(waiting);
        }
      }
    }
  }

  private final class Worker extends Thread {
    private final int number;
    private volatile boolean parked;

    Worker(int number, String name) {
      super(name);
      this.number = number;
    }

    void wake() {
      if (parked) {
        LockSupport.unpark(this);
      }
    }

    @Override
    public void run() {
      INSIDE.get()[0] = true;
      long seen = 0;
      for (; ; ) {
        seen = awaitCall(seen);
        take(number);
      }
    }

    /** Returns the number of a call other than the one seen. */
    private long awaitCall(long seen) {
      long start = System.nanoTime();
      long call;
      while ((call = ticket.get() >>> 32) == seen) {
        if (System.nanoTime() - start < SPIN_NANOS) {
          Thread.onSpinWait();
        } else {
          parked = true;
          // the caller sets the ticket before it looks at parked: one of the two sees the other
          if (ticket.get() >>> 32 == seen) {
            LockSupport.park(Workers.this);
          }
          parked = false;
        }
      }
      return call;
    }
  }
}
