package dev.topknot.processor.plan;

/**
 * A compile-time constant that an op is built with.
 *
 * @param name in the field's words: {@code experts}, {@code width}
 * @param value an {@code Integer}, {@code Float}, {@code Double}, {@code Boolean} or enum constant,
 *     such as a {@link Tile}
 */
public record Constant(String name, Object value) {}
