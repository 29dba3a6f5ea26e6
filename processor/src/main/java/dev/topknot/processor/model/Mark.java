package dev.topknot.processor.model;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;

/**
 * An annotation of Topknot as it is written. A value that cannot be read (the compiler itself
 * reports it) is absent.
 *
 * @param name the annotation's simple name
 * @param site where it stands
 * @param values every attribute that has a value, written or default: an {@code Integer}, a {@code
 *     Boolean}, a {@code Double}, a {@code String} (the name of an enum's constant) or a {@code
 *     List<Integer>}
 * @param written the attributes that the user wrote
 * @param unreadable the attributes whose written value could not be read
 * @param missing the attributes that the user should have written and did not
 */
public record Mark(
    String name,
    Site site,
    Map<String, Object> values,
    Set<String> written,
    Set<String> unreadable,
    Set<String> missing) {
  /** Copies the values. */
  public Mark {
    values = Map.copyOf(values);
    written = Set.copyOf(written);
    unreadable = Set.copyOf(unreadable);
    missing = Set.copyOf(missing);
  }

  /** Whether every attribute has a value. */
  public boolean complete() {
    return unreadable.isEmpty() && missing.isEmpty();
  }

  /** Whether the user wrote the attribute. */
  public boolean wrote(String attribute) {
    return written.contains(attribute);
  }

  /** The place of an attribute's value. */
  public Site site(String attribute) {
    return site.then(attribute);
  }

  /** The place of an element of an attribute's array. */
  public Site site(String attribute, int index) {
    return site.then(attribute).then(Integer.toString(index));
  }

  /** An integer, where it has one. */
  public OptionalInt integer(String attribute) {
    return values.get(attribute) instanceof Integer value
        ? OptionalInt.of(value)
        : OptionalInt.empty();
  }

  /** An integer that the user wrote; the annotation's own default is no value. */
  public OptionalInt writtenInteger(String attribute) {
    return wrote(attribute) ? integer(attribute) : OptionalInt.empty();
  }

  /** A number, where it has one. */
  public OptionalDouble number(String attribute) {
    return values.get(attribute) instanceof Double value
        ? OptionalDouble.of(value)
        : OptionalDouble.empty();
  }

  /** Whether a flag is set. */
  public boolean flag(String attribute) {
    return Boolean.TRUE.equals(values.get(attribute));
  }

  /** An array of integers, empty where it has none. */
  public List<Integer> integers(String attribute) {
    return values.get(attribute) instanceof List<?> list
        ? list.stream().map(Integer.class::cast).toList()
        : List.of();
  }

  /** An enum's constant, where it has one. */
  public <E extends Enum<E>> Optional<E> constant(String attribute, Class<E> type) {
    return values.get(attribute) instanceof String name
        ? Optional.of(Enum.valueOf(type, name))
        : Optional.empty();
  }

  /** Whether an enum's constant has the given name. */
  public boolean is(String attribute, Enum<?> constant) {
    return constant.name().equals(values.get(attribute));
  }
}
