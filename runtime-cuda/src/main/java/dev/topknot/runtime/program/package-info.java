/** What generated programs stand on; not for users to call. */
package dev.topknot.runtime.program;
