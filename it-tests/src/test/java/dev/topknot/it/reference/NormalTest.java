package dev.topknot.it.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.assertj.core.data.Percentage;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class NormalTest {
  /** Tabulated: NIST Digital Library of Mathematical Functions and Abramowitz and Stegun 26.1. */
  @ParameterizedTest
  @CsvSource({
    "0, 0.5",
    "1, 0.8413447460685429",
    "2, 0.9772498680518208",
    "-1, 0.15865525393145705",
    "-3, 0.0013498980316300946",
    "-3.5, 0.00023262907903552504",
    "-5, 2.866515718791939e-7",
    "-10, 7.619853024160527e-24",
    "6, 0.9999999990134123"
  })
  void cumulative(double z, double expected) {
    assertThat(Normal.cumulative(z)).isCloseTo(expected, Percentage.withPercentage(1e-11));
  }

  /** The two ways of computing it meet where one hands over to the other. */
  @ParameterizedTest
  @ValueSource(doubles = {-3, 3})
  void continuous(double z) {
    assertThat(Normal.cumulative(Math.nextUp(z)) / Normal.cumulative(Math.nextDown(z)))
        .isCloseTo(1, within(1e-12));
  }
}
