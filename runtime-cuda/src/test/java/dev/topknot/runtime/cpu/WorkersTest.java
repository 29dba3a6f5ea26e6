package dev.topknot.runtime.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class WorkersTest {
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 8})
  void runsEveryTaskOnce(int threads) {
    Workers workers = Workers.of(threads);
    assertThat(workers.threads()).isEqualTo(threads);
    assertThat(Workers.of(threads)).isSameAs(workers);
    for (int call = 0; call < 3000; call++) {
      int tasks = call % 37;
      int[] ran = new int[tasks];
      AtomicIntegerArray busy = new AtomicIntegerArray(threads);
      AtomicInteger clashes = new AtomicInteger();
      workers.parallel(
          tasks,
          (task, worker) -> {
            if (busy.incrementAndGet(worker) != 1) {
              clashes.incrementAndGet();
            }
            ran[task]++;
            busy.decrementAndGet(worker);
          });
      assertThat(clashes).hasValue(0);
      for (int count : ran) {
        assertThat(count).isEqualTo(1);
      }
    }
  }

  @Test
  void givesEachThreadAnArrayWithRoomBehindIt() {
    float[][] arrays = Workers.of(3).arrays(7);
    assertThat(arrays).hasDimensions(3, 7 + 32); // 128 bytes, two cache lines
    assertThat(arrays[0]).isNotSameAs(arrays[1]);
  }

  @Test
  void runsTasksAtTheSameTime() throws InterruptedException {
    CountDownLatch both = new CountDownLatch(2);
    Workers.of(2)
        .parallel(
            2,
            (task, worker) -> {
              both.countDown();
              try {
                assertThat(both.await(30, TimeUnit.SECONDS)).isTrue();
              } catch (InterruptedException e) {
                throw new AssertionError(e);
              }
            });
    assertThat(both.getCount()).isZero();
  }

  @Test
  void wakesFromParking() throws InterruptedException {
    for (int i = 0; i < 20; i++) {
      AtomicInteger sum = new AtomicInteger();
      Workers.of(3).parallel(10, (task, worker) -> sum.addAndGet(task));
      assertThat(sum).hasValue(45);
      Thread.sleep(2);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4})
  void throwsWhatATaskThrows(int threads) {
    Workers workers = Workers.of(threads);
    for (int i = 0; i < 50; i++) {
      int bad = i % 10;
      assertThatThrownBy(
              () ->
                  workers.parallel(
                      10,
                      (task, worker) -> {
                        if (task == bad) {
                          throw new IllegalArgumentException("task " + task);
                        }
                      }))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("task " + bad);
    }
    AtomicInteger ran = new AtomicInteger();
    workers.parallel(10, (task, worker) -> ran.incrementAndGet());
    assertThat(ran).hasValue(10);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void refusesNesting(int threads) {
    Workers workers = Workers.of(threads);
    AtomicInteger refused = new AtomicInteger();
    AtomicReference<String> message = new AtomicReference<>();
    workers.parallel(
        4,
        (task, worker) -> {
          try {
            workers.parallel(1, (inner, by) -> {});
          } catch (IllegalStateException e) {
            refused.incrementAndGet();
            message.set(e.getMessage());
          }
        });
    assertThat(refused).hasValue(4);
    assertThat(message.get()).contains("inside a task");
  }

  @Test
  void servesTwoCallers() throws InterruptedException {
    Workers workers = Workers.of(2);
    AtomicInteger[] sums = {new AtomicInteger(), new AtomicInteger()};
    Thread[] callers = new Thread[2];
    for (int i = 0; i < 2; i++) {
      AtomicInteger sum = sums[i];
      callers[i] =
          new Thread(
              () -> {
                for (int call = 0; call < 2000; call++) {
                  workers.parallel(5, (task, worker) -> sum.addAndGet(task));
                }
              });
      callers[i].start();
    }
    for (Thread caller : callers) {
      caller.join();
    }
    assertThat(sums[0]).hasValue(20_000);
    assertThat(sums[1]).hasValue(20_000);
  }

  @Test
  void refusesNonsense() {
    assertThatThrownBy(() -> Workers.of(0)).hasMessage("expected 1 thread or more, got 0");
    assertThatThrownBy(() -> Workers.of(2).parallel(-1, (task, worker) -> {}))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
