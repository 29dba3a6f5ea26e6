package dev.topknot.processor.diagnostic;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Everything the processor can complain about: a code that never changes, a title and a wording,
 * which says what is wrong with the numbers in it and what to do. Each has a page of its own under
 * {@code docs/problems}.
 */
public enum Problem {
  // The annotated type.
  NOT_AN_INTERFACE(
      "TK001",
      "not an interface",
      "{name} is {kind}: only an interface can be compiled; write 'interface {name} extends"
          + " {parent}'"),
  PRIVATE_TYPE(
      "TK002",
      "private interface",
      "{name} is private, or a type around it is: the generated class stands beside it and cannot"
          + " see it; remove 'private'"),
  GENERIC_TYPE(
      "TK003",
      "type parameters",
      "{name} has type parameters: its shapes are constants and leave nothing to vary; remove"
          + " them"),
  LOCAL_TYPE(
      "TK004",
      "local interface",
      "{name} is declared within a method, where no generated class can see it; move it to a file"
          + " or a type"),
  SEALED_TYPE(
      "TK005",
      "sealed interface",
      "{name} is sealed: the generated class could not implement it; remove 'sealed'"),
  NOT_A_MOE(
      "TK006",
      "layer that does not extend MoE",
      "{name} does not extend dev.topknot.runtime.MoE, whose methods run the layer; write"
          + " 'interface {name} extends MoE'"),
  NOT_A_LANGUAGE_MODEL(
      "TK007",
      "model that does not extend LanguageModel",
      "{name} does not extend dev.topknot.runtime.LanguageModel, whose methods train the model;"
          + " write 'interface {name} extends LanguageModel'"),
  LAYER_AND_MODEL(
      "TK008",
      "both layer and model",
      "{name} is both @MoELayer and @MoEModel: an interface is compiled to one of them; move the"
          + " layer to an interface of its own"),

  // Mixture-of-Experts layers.
  EXPERT_ALONE(
      "TK009",
      "@Expert without @MoELayer",
      "@Expert without @MoELayer on {name}: it describes the experts of a layer; add"
          + " @MoELayer(experts = ..., k = ...)"),
  EXPERT_MISSING(
      "TK010",
      "@MoELayer without @Expert",
      "{name} has no @Expert: nothing says how wide its experts are; add @Expert(hidden = ...)"),
  K_EXCEEDS_EXPERTS(
      "TK012",
      "k exceeds experts",
      "k = {k} exceeds experts = {experts}: a token cannot be sent to more experts than there are;"
          + " use k <= {experts}"),
  K_NOT_POSITIVE(
      "TK013",
      "k below 1",
      "k = {k}: a token must be sent to at least one expert; use 1 <= k <= {experts}"),
  SIZE_NOT_POSITIVE("TK014", "size below 1", "{attribute} = {value}: a size must be at least 1"),
  SIZE_TOO_LARGE(
      "TK015",
      "size too large",
      "{attribute} = {value} exceeds {limit}, the largest size: beyond it 32-bit floats no longer"
          + " count exactly; make it smaller"),
  SIZE_MISSING(
      "TK016",
      "width or tokens missing",
      "{attribute} is missing: {name} is a layer of its own, and nothing else says {meaning}; write"
          + " {attribute} = ..."),
  HIDDEN_EMPTY(
      "TK017",
      "hidden is empty",
      "hidden = {}: an expert needs a hidden layer; write its width, hidden = 4 * width, say"),
  LOSS_WEIGHT_INVALID(
      "TK019",
      "loss weight not a finite, non-negative number",
      "{attribute} = {value}: the weight of a loss must be finite and at least 0; 0 switches the"
          + " loss off, 0.1 is usual"),
  NOISE_FLOOR_INVALID(
      "TK020",
      "noiseFloor not a finite, non-negative number",
      "noiseFloor = {value}: a standard deviation must be finite and at least 0; 0.01 is usual"),
  PRODUCT_TOO_LARGE(
      "TK021",
      "product of sizes too large",
      "{product} = {factors} = {value} {unit} exceeds {limit}, the most that {reason}; make one of"
          + " them smaller"),
  GROUPS_UNEVEN(
      "TK022",
      "groups that do not divide the experts",
      "groups = {groups}: {reason}; use a divisor of experts = {experts}, at least 2"),
  K_OUTSIDE_LEVEL(
      "TK023",
      "k outside a level of a hierarchy",
      "k = {k}, but there are {count} {choices} to choose from; use 1 <= k <= {count}"),

  HIERARCHY_ALONE(
      "TK025",
      "@Hierarchy without experts to group",
      "@Hierarchy on {name}, which has no @MoELayer with several experts: there is nothing to group;"
          + " add @MoELayer(experts = ..., k = ...), or remove it"),
  SWIGLU_OUTSIDE_EXPERT(
      "TK026",
      "SWIGLU outside @Expert",
      "{attribute} = SWIGLU on @{annotation}: it is a gated hidden layer with three matrices, no"
          + " function of one element; use it on @Expert, or another function here"),

  // Gates.
  SOFTMAX_NOT_DENSE(
      "TK027",
      "softmax gating with k below experts",
      "k = {k} under SOFTMAX, but experts = {experts}: the softmax over all experts sends every token"
          + " to every expert; use k = {experts}, or gating = SOFTMAX_TOP_K"),
  HIERARCHY_GATING(
      "TK028",
      "hierarchy of other gates",
      "gating = {gating} beside @Hierarchy is not supported yet; use NOISY_TOP_K"),
  DENSE_SOFTMAX(
      "TK029",
      "softmax gating over many experts",
      "experts = {experts} under SOFTMAX: every token visits every expert, which computes {experts}"
          + " times as much as one; use gating = NOISY_TOP_K with a small k",
      false),
  UNEVEN_EXPERTS(
      "TK030",
      "tokens that experts cannot share evenly",
      "k = {k} under STRICTLY_BALANCED: each expert keeps k x tokens / experts = {k} x {tokens} /"
          + " {experts} tokens, which is no whole number; make k x tokens a multiple of {experts}"),
  TOP_1(
      "TK031",
      "k = 1 under top-k",
      "k = 1 under {gating}: the softmax over one value is always 1 and has no gradient, so that"
          + " the gate {learns}; use {advice}",
      false),
  NO_EFFECT(
      "TK032",
      "attribute without effect",
      "{attribute} = {value} has no effect: {reason}; leave it out",
      false),
  CPU_ONLY(
      "TK033",
      "too large for a GPU",
      "{name} is compiled for the CPU only: on a GPU, {launch}, the most that CUDA launches; make"
          + " its sizes smaller to run it there",
      false),

  // Kinds of experts.
  COUNTS_DIFFER(
      "TK034",
      "counts do not add up to experts",
      "the counts of {name}'s experts, {counts}, add up to {sum}, but experts = {experts}; {advice}"),
  COUNT_MISSING(
      "TK035",
      "several kinds of experts without count",
      "{count} of the kinds of {name}'s experts have no count: only one can get what the others"
          + " leave of experts = {experts}; write count = ... here"),
  ONLY_SHARED(
      "TK036",
      "only shared experts",
      "{name} has shared experts only: nothing is left for its gate to choose from; add"
          + " @Expert(hidden = ...) without shared, or write a layer of experts = 1"),
  SWIGLU_DEEP(
      "TK037",
      "SWIGLU with several hidden layers",
      "hidden lists {count} layers, but SWIGLU is one gated hidden layer with three matrices; keep"
          + " one width, or use another activation"),
  THRESHOLD_INVALID(
      "TK038", "evaluationK or threshold out of range", "{attribute} = {value}: {reason}"),

  // Models.
  NO_LAYERS(
      "TK040",
      "model without layers",
      "{name} declares no layers: a model needs at least @Embedding and @Softmax; declare each"
          + " layer as a method, in their order"),
  NO_EMBEDDING(
      "TK041",
      "model without @Embedding",
      "{name} has no @Embedding: nothing turns token ids into vectors; make"
          + " '@Embedding(vocabulary = ..., width = ...) Layer words();' its first layer"),
  EMBEDDING_NOT_FIRST(
      "TK042",
      "@Embedding not first",
      "{layer} is layer {position} of the model: an embedding takes token ids, which only the first"
          + " layer gets; {advice}"),
  NO_SOFTMAX(
      "TK043",
      "model without @Softmax",
      "{name} has no @Softmax: nothing predicts the next token; make '@Softmax(vocabulary ="
          + " {vocabulary}) Layer next();' its last layer"),
  SOFTMAX_NOT_LAST(
      "TK044",
      "@Softmax not last",
      "{layer} is layer {position} of {count}: a softmax ends the model; {advice}"),
  VOCABULARIES_DIFFER(
      "TK045",
      "vocabularies differ",
      "vocabulary = {softmax}, but {embedding} embeds vocabulary = {words}: the tokens that go in"
          + " are those that come out; make them equal"),
  WIDTHS_DIFFER(
      "TK046",
      "widths do not meet",
      "{layer} works on width = {width}, but {before} before it gives {incoming}; make them equal,"
          + " or put @Dense(units = {width}) between"),
  RESIDUAL_WIDTHS(
      "TK047",
      "residual over unequal widths",
      "{layer} takes width {in} and gives width {out}: a residual connection adds the two; make"
          + " them equal or remove @Residual"),
  RESIDUAL_ON_EMBEDDING(
      "TK048",
      "residual on an embedding",
      "{layer} takes token ids, which cannot be added to its output; remove @Residual"),
  MODIFIER_ON_SOFTMAX(
      "TK049",
      "modifier on a softmax",
      "@{annotation} on {layer}: the softmax's output is the distribution itself and ends the"
          + " model; remove it"),
  MODIFIER_WITHOUT_LAYER(
      "TK050",
      "modifier without a layer",
      "@{annotation} on {method}, which is no layer of a model; {advice}"),
  DROPOUT_RATE(
      "TK051",
      "dropout rate outside [0, 1)",
      "rate {rate} is outside [0, 1): it is the probability of dropping an element, and something"
          + " must be left; 0.1 is usual"),
  TOKENS_DIFFER(
      "TK052",
      "tokens differ from batch x timesteps",
      "{layer} is for tokens = {tokens}, but batch {batch} x timesteps {timesteps} = {product};"
          + " {advice}"),
  LAYER_MISPLACED(
      "TK053",
      "layer annotation outside a model",
      "@{annotation} on {method}, which is no layer of a model; {advice}"),
  SEVERAL_LAYERS(
      "TK054",
      "several layers on one method",
      "{layer} is {list}: a method declares one layer; split it"),
  LAYER_TWICE(
      "TK055",
      "layer type and layer annotation",
      "{layer} returns {type}, which is a layer already, and has @{annotation} besides; return"
          + " MoE, or remove the annotation"),
  LAYER_NOT_COMPILED(
      "TK056",
      "layer type that was not compiled",
      "{layer} returns {type}, which comes from another compilation without {entry}; compile it"
          + " there with the Topknot processor"),
  PROJECTION_NOT_NARROWER(
      "TK057",
      "projection not below units",
      "projection = {projection} is not below units = {units}: a projection makes the output"
          + " narrower than the cells; use projection < {units}, or leave it out"),
  SAMPLES_NOT_FEWER(
      "TK058",
      "samples not below vocabulary",
      "samples = {samples} is not below vocabulary = {vocabulary}: a sample as large as the"
          + " vocabulary costs more than all of it; use samples < {vocabulary}, or leave it out for"
          + " the full softmax"),

  // Methods of an annotated type.
  UNANNOTATED_METHOD(
      "TK060",
      "method without a layer annotation",
      "{layer} is abstract but says no layer: nothing can be generated for it; annotate it (@Lstm,"
          + " @Dense, ...), or make it default or static"),
  UNANNOTATED_TYPE(
      "TK061",
      "unannotated layer type",
      "{layer} returns {type}, which extends MoE but has no @MoELayer; annotate {type}, or annotate"
          + " {layer} and return MoE"),
  WRONG_RETURN_TYPE(
      "TK062",
      "wrong return type",
      "{layer} returns {type}: a layer's handle has type {expected}; write '{expected} {layer}'"),
  PARAMETERS(
      "TK063",
      "layer method with parameters",
      "{layer} has parameters: a layer is asked for by its name alone; remove them"),
  INHERITED_METHOD(
      "TK064",
      "inherited abstract method",
      "{name} inherits {method} from {type}: the order of layers is the order in the model itself;"
          + " declare it in {name}, or make it default"),
  NAME_TAKEN(
      "TK065",
      "method name taken",
      "{layer} has the name of a method of {type}: the generated class could not have both; rename"
          + " it"),
  NAMES_ALIKE(
      "TK066",
      "layer names alike",
      "{layer} and {other} differ in upper and lower case only: what is named after them would"
          + " collide; rename one"),
  EXTRA_METHOD(
      "TK067",
      "abstract method in a layer",
      "{method} is abstract: {name} is a layer of its own, and nothing can be generated for other"
          + " methods than MoE's; make it default or static, or remove it"),

  // Names and memory.
  SAME_GENERATED_NAME(
      "TK070",
      "two generated classes of one name",
      "{name} and {other} would both generate {generated}; rename one"),
  GENERATED_NAME_TAKEN(
      "TK071",
      "generated name taken",
      "{name} would generate {generated}, which a source file of this compilation already has;"
          + " rename one, or remove a stale generated source"),
  OVER_BUDGET(
      "TK080",
      "memory plan above the maximum",
      "{name} needs {needed}, more than topknot.maxMemory = {budget}; the largest buffers are"
          + " {buffers}; {advice}"),
  BAD_OPTION(
      "TK081",
      "option not understood",
      "-A{option}={value}: {reason}; write a number of bytes, alone or with a unit: 8GiB, 500MB,"
          + " 1000000"),

  // The processor itself.
  TYPE_MISSING(
      "TK090",
      "type that never came",
      "{name} is not compiled: {type} does not exist, nor did another processor generate it before"
          + " its last round",
      false),
  CANNOT_WRITE(
      "TK091", "file cannot be written", "what {name} compiles to cannot be written: {reason}"),
  CRASH(
      "TK099",
      "error in Topknot",
      "Topknot failed on {name}, which is an error of its own: {exception}; please report it with"
          + " this message and the declaration");

  private static final Pattern PLACEHOLDER = Pattern.compile("\\{([a-z]+)}");

  private final String code;
  private final String title;
  private final String wording;
  private final boolean error;

  Problem(String code, String title, String wording) {
    this(code, title, wording, true);
  }

  Problem(String code, String title, String wording, boolean error) {
    this.code = code;
    this.title = title;
    this.wording = wording;
    this.error = error;
  }

  /** The code, which users suppress and search: {@code TK012}. */
  public String code() {
    return code;
  }

  /** What it is about, in a few words. */
  public String title() {
    return title;
  }

  /** The message with placeholders in braces. */
  public String wording() {
    return wording;
  }

  /** Whether it stops the compilation; if not, it is a warning. */
  public boolean isError() {
    return error;
  }

  /**
   * The wording with values in it.
   *
   * @param values one for each name in braces, in the order of their first appearance
   * @throws IllegalArgumentException if there are more or fewer
   */
  public String text(Object... values) {
    List<String> names = new ArrayList<>(placeholders());
    if (names.size() != values.length) {
      throw new IllegalArgumentException(
          "%s has placeholders %s, but %d values".formatted(this, names, values.length));
    }
    return PLACEHOLDER
        .matcher(wording)
        .replaceAll(
            found ->
                Matcher.quoteReplacement(
                    String.format(Locale.ROOT, "%s", values[names.indexOf(found.group(1))])));
  }

  /** The names in braces, each once, in the order of their first appearance. */
  public Set<String> placeholders() {
    Set<String> names = new LinkedHashSet<>();
    PLACEHOLDER.matcher(wording).results().forEach(found -> names.add(found.group(1)));
    return names;
  }
}
