/** What is generated, looked at as class files. */
package dev.topknot.it.generated;
