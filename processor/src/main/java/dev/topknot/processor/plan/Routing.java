package dev.topknot.processor.plan;

/**
 * Which token sits in which slot; slots are grouped by expert, P = T·k of them, or room for as
 * many.
 *
 * @param offsets the first slot of each expert [n + 1]
 * @param rows the token of each slot [P]
 * @param slots the slot of each pair t·k + j [P]; of places for each expert [T·n], −1 where none
 */
record Routing(Buffer offsets, Buffer rows, Buffer slots) {}
