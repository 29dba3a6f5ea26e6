package dev.topknot.processor.plan;

/**
 * What every gate leaves.
 *
 * @param chosen expert numbers [T·k], a token's best first
 * @param gates their gate values [T, k]
 * @param importance the sum of each expert's gate values [1, n]
 * @param load each expert's load [1, n]
 */
record GateBuffers(Buffer chosen, Buffer gates, Buffer importance, Buffer load) {}
