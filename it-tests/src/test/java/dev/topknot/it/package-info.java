/** Tests across modules: numerics, architecture, and builds of user projects. */
package dev.topknot.it;
