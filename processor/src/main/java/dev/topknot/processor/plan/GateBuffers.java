package dev.topknot.processor.plan;

/**
 * What every gate leaves. A token has k places for its experts, or one an expert where any number
 * of them may take it.
 *
 * @param chosen expert numbers [T·k], a token's best first; of places for each expert [T·n],
 *     whether it takes the token
 * @param gates their gate values [T, k] or [T, n]
 * @param importance the sum of each expert's gate values [1, n]
 * @param load each expert's load [1, n]
 */
record GateBuffers(Buffer chosen, Buffer gates, Buffer importance, Buffer load) {}
