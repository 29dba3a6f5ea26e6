package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Where messages stand, and that all come at once; the pages have one example a problem. */
class PositionsTest {

  /** A model with the given methods between its first and its last layer. */
  private static MarkedSource model(String methods) {
    return MarkedSource.of(
        """
        @MoEModel(batch = 8, timesteps = 20)
        interface News extends LanguageModel {
          @Embedding(vocabulary = 100, width = 16)
          Layer words();

        %s
          @Softmax(vocabulary = 100)
          Layer next();
        }
        """
            .formatted(methods));
  }

  private static MarkedSource layer(String attributes, String expert) {
    return MarkedSource.of(
        "@MoELayer(%s)\n@Expert(%s)\ninterface News extends MoE {}\n"
            .formatted(attributes, expert));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "experts = /*TK014*/ 0, k = 1, width = 4, tokens = 4",
        "experts = /*TK014*/ -4, k = /*TK013*/ -1, width = 4, tokens = 4",
        "experts = 4, k = 2, width = /*TK014*/ -1, tokens = /*TK014*/ 0",
        "experts = 4, k = 2, width = 1 /*TK015*/ << 25, tokens = Integer /*TK015*/.MAX_VALUE",
        "experts = /*TK015*/ 16_777_217, k = /*TK031*/ 1, width = 4, tokens = 4, gating = Gating.TOP_K",
        "experts = 1, k = /*TK012*/ 2, width = 4, tokens = 4",
        "experts = 1, k = 1, width = 4, tokens = 4, loadLoss = 0.1, noiseFloor = 1",
        "experts = 4, k = 4, width = 4, tokens = 4, loadLoss = /*TK032*/ 0.1",
        "experts = 4, k = 4, width = 4, tokens = 4, loadLoss = 0",
        "experts = 4, k = 1, width = 4, tokens = 4, gating = Gating.SOFTMAX_TOP_K",
        "experts = 4, k = /*TK031*/ 1, width = 4, tokens = 4, gating = Gating.TOP_K, noiseFloor ="
            + " /*TK032*/"
            + " 1",
        "experts = 4, k = 2, width = 4, tokens = 4, importanceLoss = Double /*TK019*/.NaN",
        "experts = 4, k = 2, width = 4, tokens = 4, importanceLoss = /*TK019*/ 1e39",
        "experts = 4, k = 2, width = 4, tokens = 4, loadLoss = 1 /*TK019*/ / 0.0",
        "experts = 4, k = 2, width = 4, tokens = 4, noiseFloor = /*TK020*/ -1e-9",
        "experts = 4, k = 4, width = 4, tokens = 4, loadLoss = /*TK019*/ -1",
        "experts = 4, k = 2, width = 4, tokens = 4, gating = Gating.TOP_K, noiseFloor = /*TK020*/"
            + " -1",
        "experts = 4, k = 2, width = 4, tokens = 4, optimizer = Optimizer.NONE",
        "experts = 4, k = 4, width = 4, tokens = 4, gating = Gating.SOFTMAX",
        "experts = 4, k = /*TK027*/ 3, width = 4, tokens = 4, gating = Gating.SOFTMAX",
        "experts = 4, k = /*TK012*/ 5, width = 4, tokens = 4, gating = Gating.SOFTMAX",
        "experts = /*TK029*/ 32, k = 32, width = 4, tokens = 4, gating = Gating.SOFTMAX",
        "experts = 4, k = 4, width = 4, tokens = 4, gating = Gating.SOFTMAX, loadLoss ="
            + " /*TK032*/ 1",
        "experts = 4, k = 1, width = 4, tokens = 8, gating = Gating.STRICTLY_BALANCED",
        "experts = 4, k = /*TK030*/ 3, width = 4, tokens = 6, gating = Gating.STRICTLY_BALANCED",
        "experts = 4, k = 3, width = 4, tokens = /*TK014*/ -6, gating = Gating.STRICTLY_BALANCED",
        "experts = 1, k = 1, width = 4, tokens = 7, gating = Gating.STRICTLY_BALANCED",
        "experts = 4, k = 2, width = 4, tokens = 4, gating = Gating.STRICTLY_BALANCED, loadLoss ="
            + " /*TK032*/ 0.1, importanceLoss = /*TK032*/ 0.1",
        "experts = 4, k = 2, width = 4, tokens = 4, gating = Gating.STRICTLY_BALANCED, loadLoss ="
            + " 0, importanceLoss = 0, threshold = 0.25, thresholdLoss = 0, evaluationK = 4",
        "experts = 4, k = 2, width = 4, tokens = 4, gating = Gating.STRICTLY_BALANCED, evaluationK"
            + " = /*TK038*/ 5, threshold = /*TK038*/ -1, thresholdLoss = /*TK019*/ -1",
        "experts = 4, k = 2, width = 4, tokens = 4, gating = Gating.STRICTLY_BALANCED, threshold ="
            + " /*TK038*/ 0.999999999",
        "experts = 4, k = 2, width = 4, tokens = 4, threshold = /*TK038*/ 5",
        "experts = 4, k = 2, width = 4, tokens = 4, evaluationK = /*TK038*/ 0",
        "experts = 4, k = 2, width = 4, tokens = 4, evaluationK = /*TK032*/ 2, threshold ="
            + " /*TK032*/ 0, thresholdLoss = /*TK032*/ 1"
      })
  void layers(String attributes) {
    layer(attributes, "hidden = 8").check();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "hidden = {/*TK014*/ 0}",
        "hidden = /*TK014*/ -8, activation = ActivationFunction.SWIGLU",
        "hidden = {8, /*TK014*/ -3}",
        "hidden = {8, 8, 8}",
        "hidden = {8, /*TK037*/ 8, 8}, activation = ActivationFunction.SWIGLU",
        "hidden = 8, count = 4",
        "hidden = 8, count = /*TK034*/ 3",
        "hidden = 8, count = /*TK014*/ 0",
        "hidden = 8, count = /*TK015*/ 20_000_000",
        "hidden = 8, shared = false",
        "hidden = 8) @Expert(hidden = 8, shared = true, count = /*TK014*/ -1",
        "hidden = 8, count = 1) @Expert(hidden = 8, shared = true) @Expert(hidden = 6, count = 3",
        "hidden = 8, count = 1) @Expert(hidden = 6",
        "hidden = 8) @Expert(hidden = 6, count = /*TK034*/ 4",
        "hidden = 8, count = 2) @Expert(hidden = 6, count = /*TK034*/ 3",
        "hidden = 1 << 24 /*TK015*/ | 1",
        "hidden = /*TK017*/ {}"
      })
  void experts(String expert) {
    layer("experts = 4, k = 2, width = 4, tokens = 4", expert).check();
  }

  @Test
  void widthAndTokensMissing() {
    MarkedSource.of(
            """
            /*TK016*/ /*TK016*/ @MoELayer(experts = 4, k = 2)
            @Expert(hidden = 8)
            interface News extends MoE {}
            """)
        .check();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "  @Lstm(units = /*TK014*/ 0) Layer below();",
        "  @Dense(units = /*TK015*/ 20_000_000) Layer below();",
        "  @Lstm(units = 32, projection = 16) @Residual Layer below();",
        "  @Lstm(units = 32, projection = /*TK014*/ 0) Layer below();",
        "  @Lstm(units = 16, projection = /*TK057*/ 16) Layer below();",
        "  @Lstm(units = 16, projection = 8) /*TK047*/ @Residual Layer below();",
        "  @Lstm(units = 16) @Dropout(/*TK051*/ -0.1) Layer below();",
        "  @Lstm(units = 16) @Dropout(/*TK051*/ 0.99999999999) Layer below();",
        "  @Lstm(units = 16) @Dropout(Double /*TK051*/.NaN) Layer below();",
        "  @Lstm(units = 16) @Dropout(0) Layer below();",
        "  @Lstm(units = 16) @Activation(ActivationFunction /*TK026*/.SWIGLU) Layer below();",
        "  @Lstm(units = 8) /*TK047*/ @Residual Layer below();",
        "  @Lstm(units = 8) Layer below(); @Dense(units = 16) /*TK047*/ @Residual Layer above();",
        "  @MoELayer(experts = 2, k = 2) @Expert(hidden = 8) @Residual MoE experts();",
        "  @MoELayer(experts = 2, k = 2) @Expert(hidden = 8) Layer experts();",
        "  @MoELayer(experts = 2, k = 2, width = 16, tokens = 160) @Expert(hidden = 8) MoE"
            + " experts();",
        "  @MoELayer(experts = 7, k = /*TK030*/ 2, gating = Gating.STRICTLY_BALANCED) @Expert(hidden ="
            + " 8) MoE experts();",
        "  @MoELayer(experts = 2, k = 2, width = /*TK046*/ 8) @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 2, k = 2, width = /*TK014*/ 0) @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 2, k = 2, tokens = /*TK052*/ 161) @Expert(hidden = 8) MoE"
            + " experts();",
        "  @MoELayer(experts = 2, k = 2, precision = Precision /*TK032*/.FP32) @Expert(hidden = 8)"
            + " MoE experts();",
        "  @MoELayer(experts = 2, k = /*TK012*/ 3) @Expert(hidden = /*TK014*/ 0) MoE experts();",
        "  @MoELayer(experts = 8, k = 2) @Hierarchy(groups = 2, k = 2) @Expert(hidden = 8) MoE"
            + " experts();",
        "  @MoELayer(experts = 8, k = 2) @Hierarchy(groups = /*TK022*/ 3, k = 2)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 8, k = 2) @Hierarchy(groups = /*TK022*/ 1, k = 1)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 10_000, k = 1) @Hierarchy(groups = /*TK022*/ 10_000, k = 2)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 8, k = /*TK023*/ 5) @Hierarchy(groups = 2, k = /*TK023*/ 3)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 8, k = 2) @Hierarchy(groups = 2, k = /*TK023*/ 0)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 4, k = 1) @Hierarchy(groups = 4, k = 2) @Expert(hidden = 8) MoE"
            + " experts();",
        "  @MoELayer(experts = 8, k = /*TK031*/ 1) @Hierarchy(groups = 2, k = /*TK031*/ 1)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 8, k = 4, loadLoss = /*TK032*/ 0.5)"
            + " @Hierarchy(groups = 2, k = 2) @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 8, k = 4, loadLoss = 0.5) @Hierarchy(groups = 2, k = /*TK031*/ 1)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 8, k = 2, gating = Gating /*TK028*/.TOP_K)"
            + " @Hierarchy(groups = 2, k = 2) @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 1, k = 1) /*TK025*/ @Hierarchy(groups = 2, k = 1)"
            + " @Expert(hidden = 8) MoE experts();",
        "  @Lstm(units = 16) /*TK025*/ @Hierarchy(groups = 2, k = 1) Layer below();",
        "  /*TK010*/ @MoELayer(experts = 2, k = 2) MoE experts();",
        "  /*TK009*/ @Expert(hidden = 8) MoE experts();",
        "  @MoELayer(experts = 2, k = 2) @Expert(hidden = 8) Tensor /*TK062*/ experts();",
        "  @Lstm(units = 16) MoE /*TK062*/ below();",
        "  @Lstm(units = 16) void /*TK062*/ below();",
        "  @Lstm(units = 16) int[] /*TK062*/ below();",
        "  @Lstm(units = 16) <T> Layer /*TK063*/ below();",
        "  @Lstm(units = 16) Layer /*TK065*/ close();",
        "  @Lstm(units = 16) Layer /*TK065*/ notify();",
        "  @Lstm(units = 16) Layer /*TK065*/ clone();",
        "  @Lstm(units = 16) Layer /*TK065*/ delegate();",
        "  @Lstm(units = 16) Layer /*TK065*/ train();",
        "  Layer /*TK065*/ hashCode();",
        "  void close();",
        "  String toString();",
        "  News inference();",
        "  String /*TK060*/ title();",
        "  default String title() { return \"News\"; }",
        "  static News create() { return null; }",
        "  /*TK053*/ @Lstm(units = 16) static Layer create() { return null; }",
        "  /*TK050*/ @Residual static Layer create() { return null; }",
        "  @Lstm(units = 16) Layer a(); /*TK042*/ @Embedding(vocabulary = 100, width = 16) Layer"
            + " b();",
        "  /*TK044*/ @Softmax(vocabulary = 100) Layer early();",
        "  /*TK044*/ @Softmax(vocabulary = 100, samples = /*TK058*/ 100) Layer early();",
        "  /*TK044*/ @Softmax(vocabulary = 100, samples = /*TK014*/ 0) Layer early();",
        "  /*TK044*/ @Softmax(vocabulary = 100, samples = 99) Layer early();",
        "  /*TK044*/ @Softmax(vocabulary = 100) /*TK049*/ @Residual /*TK049*/"
            + " @Activation(ActivationFunction.TANH) Layer early();"
      })
  void methodsOfModels(String method) {
    model(method).check();
  }

  @Test
  void everythingAtOnce() {
    MarkedSource.of(
            """
            @MoEModel(batch = /*TK014*/ 0, timesteps = 20)
            interface News extends LanguageModel {
              @Lstm(units = /*TK014*/ -1)
              Layer below();

              /*TK042*/ @Embedding(vocabulary = /*TK014*/ 0, width = 16)
              /*TK048*/ @Residual
              Layer words();

              @Softmax(vocabulary = /*TK045*/ 100)
              Layer next();
            }
            """)
        .check();
  }

  @Test
  void tokensOfABatch() {
    MarkedSource.of(
            """
            @MoEModel(batch = 10_000, timesteps = /*TK015*/ 10_000)
            interface News extends LanguageModel {
              @Embedding(vocabulary = 100, width = 16)
              Layer words();

              @Softmax(vocabulary = 100)
              Layer next();
            }
            """)
        .check();
  }

  @Test
  void products() {
    MarkedSource.of(
            """
            @MoEModel(batch = 4096, timesteps = 4096)
            interface News extends LanguageModel {
              /*TK021*/ @Embedding(vocabulary = 16_000_000, width = 16_000_000)
              Layer words();

              /*TK021*/ /*TK021*/ @Lstm(units = 16_000_000)
              Layer below();

              /*TK021*/ @Dense(units = 16_000_000)
              Layer middle();

              /*TK021*/ /*TK021*/ @Softmax(vocabulary = 16_000_000)
              Layer next();
            }
            """)
        .check();
    layer("experts = 4096, k = 4096, width = 4_000_000, tokens = 4_000_000", "hidden = 4_000_000")
        .checkCodes(List.of("TK021"));
  }

  @Test
  void bothOfRepeatedExperts() {
    MarkedSource.of(
            """
            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert(hidden = /*TK014*/ 0)
            /*TK035*/ @Expert(hidden = {8, /*TK014*/ -1})
            /*TK035*/ @Expert(hidden = {/*TK014*/ -2}, activation = ActivationFunction.TANH)
            interface News extends MoE {}
            """)
        .check();
  }

  @Test
  void sharedExpertsAlone() {
    MarkedSource.of(
            """
            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            /*TK036*/ @Expert(hidden = 8, shared = true)
            @Expert(hidden = 9, shared = true)
            interface News extends MoE {}
            """)
        .check();
  }

  @Test
  void aKindIsAsLargeAsItsOwnCount() {
    MarkedSource.of(
            """
            /*TK021*/ @MoELayer(experts = 4097, k = 2, width = 4, tokens = 4)
            @Expert(count = 1, hidden = 8)
            @Expert(hidden = 1_000_000)
            interface News extends MoE {}
            """)
        .check();
    MarkedSource.of(
            """
            /*TK033*/ @MoELayer(experts = 4097, k = 2, width = 4, tokens = 4)
            @Expert(count = 1, hidden = {1_000_000, 1, 10_000_000})
            @Expert(hidden = 8)
            interface News extends MoE {}
            """)
        .check();
  }

  @Test
  void tooManySharedExperts() {
    MarkedSource.of(
            """
            /*TK021*/ @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert(hidden = 8)
            @Expert(hidden = 8, shared = true, count = 65)
            interface News extends MoE {}
            """)
        .check();
    MarkedSource.of(
            """
            /*TK021*/ @MoELayer(experts = 4, k = 2, width = 4, tokens = 4, recompute = true)
            @Expert(hidden = 8)
            @Expert(hidden = {8, 8, 8, 8, 8, 8, 8, 8}, shared = true, count = 15)
            interface News extends MoE {}
            """)
        .check();
  }

  @Test
  void explicitContainer() {
    MarkedSource.of(
            """
            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert.Kinds({@Expert(hidden = 8), /*TK035*/ @Expert(hidden = /*TK014*/ 0)})
            interface News extends MoE {}
            """)
        .check();
  }

  @Test
  void containerWithOneExpert() {
    MarkedSource.of(
            """
            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert.Kinds(@Expert(hidden = 8))
            interface News extends MoE {}
            """)
        .check();
  }

  @Test
  void kindsOfTypes() {
    MarkedSource.of(
            """
            class News {
              /*TK001*/ @MoEModel(batch = 1, timesteps = 1)
              enum A { X }

              /*TK001*/ @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
              @Expert(hidden = 8)
              record B(int x) {}

              /*TK001*/ @MoEModel(batch = 1, timesteps = 1)
              @interface C {}

              private static class Inner {
                @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
                @Expert(hidden = 8)
                /*TK002*/interface D extends MoE {}
              }

              @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
              @Expert(hidden = 8)
              protected /*TK006*/interface E extends Layer {}

              /*TK001*/ @MoEModel(batch = 1, timesteps = 1)
              abstract static class F implements LanguageModel {
                /*TK053*/ @Lstm(units = 3)
                abstract Layer below();
              }

              /*TK053*/ @Lstm(units = 3)
              Layer stray() {
                return null;
              }

              /*TK050*/ @Dropout(0.5)
              void stray(int x) {}

              /*TK009*/ @Expert(hidden = 3)
              void alone() {}
            }
            """)
        .check();
  }

  @Test
  void localTypes() {
    MarkedSource.of(
            """
            class News {
              @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
              @Expert(hidden = 8)
              interface A extends MoE {}

              void a() {
                /*TK004*/ @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
                @Expert(hidden = 8)
                interface A extends MoE {}
              }

              Runnable b = () -> {
                /*TK004*/ @MoEModel(batch = 4, timesteps = 2)
                interface A extends LanguageModel {}
                @Deprecated
                interface B extends MoE {}
              };

              Object c = new Object() {
                /*TK004*/ @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
                interface A extends MoE {}
              };

              void d() {
                class D {
                  /*TK004*/ @MoEModel(batch = 4, timesteps = 2)
                  interface A extends LanguageModel {}
                }
              }
            }
            """)
        .check();
  }

  @Test
  void localTypesAlone() {
    new MarkedSource(
            """
            class News {
              void a() {
                /*TK004*/ @dev.topknot.dsl.MoELayer(experts = 4, k = 2)
                interface A extends dev.topknot.runtime.MoE {}
                @MoELayer
                interface B {}
              }

              @interface MoELayer {}
            }
            """)
        .check();
  }

  @Test
  void methodsOfLayers() {
    MarkedSource.of(
            """
            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert(hidden = 8)
            interface News extends MoE {
              @Override
              void close();

              News inference();

              /*TK053*/ @Lstm(units = 3)
              Layer below();

              /*TK050*/ @Dropout(0.5)
              Layer /*TK067*/ above();

              default int answer() {
                return 42;
              }
            }
            """)
        .check();
  }

  @Test
  void inheritedMethods() {
    MarkedSource.of(
            """
            interface Base {
              String title();

              default String body() {
                return "";
              }
            }

            @MoEModel(batch = 8, timesteps = 20)
            /*TK064*/interface News extends LanguageModel, Base {
              @Embedding(vocabulary = 100, width = 16)
              Layer words();

              @Softmax(vocabulary = 100)
              Layer next();
            }

            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert(hidden = 8)
            /*TK067*/interface Experts extends MoE, Base {}
            """)
        .check();
  }

  @Test
  void whatTheRuntimeSaysOfOtherTypesIsNotGenerated() {
    MarkedSource.of(
            """
            @MoEModel(batch = 8, timesteps = 20)
            /*TK064*/interface News extends LanguageModel, Layer {
              @Embedding(vocabulary = 100, width = 16)
              Layer words();

              void /*TK060*/ /*TK063*/ freeze(boolean frozen);

              Layer /*TK060*/ /*TK063*/ layer(String name);

              @Softmax(vocabulary = 100)
              Layer next();
            }

            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert(hidden = 8)
            interface Experts extends MoE {
              @Override
              Balance balance();

              void /*TK067*/ resetState();
            }
            """)
        .check();
  }

  @Test
  void anErrorInALayerTypeIsReportedOnce() {
    MarkedSource.of(
            """
            @MoEModel(batch = 8, timesteps = 20)
            interface News extends LanguageModel {
              @Embedding(vocabulary = 100, width = 16)
              Layer words();

              NewsExperts experts();

              @Softmax(vocabulary = 100)
              Layer next();
            }

            @MoELayer(experts = 4, k = /*TK012*/ 8, width = 16, tokens = 160)
            @Expert(hidden = 8)
            interface NewsExperts extends MoE {}
            """)
        .check();
  }

  @Test
  void differentNestedTypesOfOneFlatName() {
    MarkedSource.of(
            """
            class News {
              @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
              @Expert(hidden = 8)
              interface Inner extends MoE {}
            }

            @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
            @Expert(hidden = 8)
            /*TK070*/ /*TK070*/ /*TK070*/interface News_Inner extends MoE {}
            """)
        .check();
  }

  @Test
  void warningsCanBeSuppressed() {
    MarkedSource.of(
            """
            @SuppressWarnings("TK031")
            class News {
              @MoELayer(experts = 4, k = 1, width = 4, tokens = 4)
              @Expert(hidden = 8)
              interface A extends MoE {}

              @SuppressWarnings({"unused", "TK032"})
              @MoELayer(experts = 4, k = 4, width = 4, tokens = 4, loadLoss = 0.1)
              @Expert(hidden = 8)
              interface B extends MoE {}

              @MoELayer(experts = 4, k = 4, width = 4, tokens = 4, loadLoss = /*TK032*/ 0.1)
              @Expert(hidden = 8)
              interface C extends MoE {}

              @SuppressWarnings("TK012")
              @MoELayer(experts = 4, k = /*TK012*/ 8, width = 4, tokens = 4)
              @Expert(hidden = 8)
              interface D extends MoE {}
            }
            """)
        .check();
  }

  @Test
  void suppressionsThatTheCompilerRefusesSuppressNothing() {
    MarkedSource.of(
            """
            class News {
              @SuppressWarnings(NoSuch.WARNING)
              @MoELayer(experts = 4, k = /*TK031*/ 1, width = 4, tokens = 4)
              @Expert(hidden = /*TK014*/ 0)
              interface A extends MoE {}

              @SuppressWarnings({NoSuch.WARNING, "TK031"})
              @MoELayer(experts = 4, k = 1, width = 4, tokens = 4)
              @Expert(hidden = 8)
              interface B extends MoE {}
            }
            """)
        .check();
  }

  @Test
  void messagesComeInTheOrderOfTheSource() {
    Compiled compiled =
        Compiled.processOnly(
            List.of(),
            MarkedSource.of(
                    """
                    @MoEModel(batch = 8, timesteps = 0)
                    interface News extends LanguageModel {
                      @Embedding(vocabulary = 100, width = 0)
                      Layer words();

                      @Lstm(units = 0)
                      Layer step();

                      @Softmax(vocabulary = 0)
                      Layer next();
                    }

                    @MoELayer(experts = 4, k = 8, width = 16, tokens = 0)
                    @Expert(hidden = 0)
                    interface NewsExperts extends MoE {
                      void surprise();
                    }

                    @MoELayer(experts = 4, k = 8, width = 16, tokens = 1)
                    @Expert(hidden = 1)
                    interface NoExperts {}
                    """)
                .file());
    assertThat(compiled.ours())
        .extracting(it -> it.getLineNumber() * 1000 + it.getColumnNumber())
        .hasSize(12)
        .isSorted();
  }
}
