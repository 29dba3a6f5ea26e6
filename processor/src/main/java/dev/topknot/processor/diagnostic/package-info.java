/** What can be wrong with a user's declarations, and how it is said. */
package dev.topknot.processor.diagnostic;
