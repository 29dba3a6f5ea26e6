/**
 * The plan: a spec as steps over buffers with fixed shapes and offsets, from which every backend is
 * written.
 *
 * <p>{@link dev.topknot.processor.plan.Planner} lowers each layer to calls of ops; an op's record
 * here fixes its constants, the order of its operands and its cost. Its Java half of the same name
 * stands in {@code dev.topknot.runtime.cpu}.
 */
package dev.topknot.processor.plan;
