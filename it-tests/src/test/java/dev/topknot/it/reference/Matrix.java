package dev.topknot.it.reference;

import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;

/** A mutable row-major matrix of doubles. A vector is a matrix of one row. */
public final class Matrix {
  private final int rows;
  private final int columns;
  private final double[] data;

  private Matrix(int rows, int columns, double[] data) {
    if (data.length != rows * columns) {
      throw new IllegalArgumentException(
          "expected " + rows + " x " + columns + " values, got " + data.length);
    }
    this.rows = rows;
    this.columns = columns;
    this.data = data;
  }

  /** A matrix of zeros. */
  public static Matrix zeros(int rows, int columns) {
    return new Matrix(rows, columns, new double[rows * columns]);
  }

  /** Wraps the row-major {@code data} without copying. */
  public static Matrix of(int rows, int columns, double... data) {
    return new Matrix(rows, columns, data);
  }

  /** Widens the first {@code rows * columns} row-major values of {@code data}. */
  public static Matrix of(int rows, int columns, float[] data) {
    Matrix result = zeros(rows, columns);
    for (int i = 0; i < rows * columns; i++) {
      result.data[i] = data[i];
    }
    return result;
  }

  /** Wraps {@code data} as one row. */
  public static Matrix row(double... data) {
    return new Matrix(1, data.length, data);
  }

  /** The number of rows. */
  public int rows() {
    return rows;
  }

  /** The number of columns. */
  public int columns() {
    return columns;
  }

  /** The values themselves, row-major; writing to the array changes the matrix. */
  public double[] data() {
    return data;
  }

  /** The values rounded to floats, row-major. */
  public float[] toFloats() {
    float[] result = new float[data.length];
    for (int i = 0; i < data.length; i++) {
      result[i] = (float) data[i];
    }
    return result;
  }

  /** The value in row {@code i}, column {@code j}. */
  public double get(int i, int j) {
    return data[i * columns + j];
  }

  /** Sets the value in row {@code i}, column {@code j}. */
  public void set(int i, int j, double value) {
    data[i * columns + j] = value;
  }

  /** Adds to the value in row {@code i}, column {@code j}. */
  public void add(int i, int j, double value) {
    data[i * columns + j] += value;
  }

  /** An independent copy. */
  public Matrix copy() {
    return new Matrix(rows, columns, data.clone());
  }

  /** A copy of the rows {@code from} (inclusive) to {@code to} (exclusive). */
  public Matrix rows(int from, int to) {
    return new Matrix(to - from, columns, Arrays.copyOfRange(data, from * columns, to * columns));
  }

  /** A copy with zero rows appended, or rows cut, to {@code count} rows. */
  public Matrix resized(int count) {
    return new Matrix(count, columns, Arrays.copyOf(data, count * columns));
  }

  /** A copy of the columns {@code from} (inclusive) to {@code to} (exclusive). */
  public Matrix columns(int from, int to) {
    Matrix result = zeros(rows, to - from);
    for (int i = 0; i < rows; i++) {
      System.arraycopy(data, i * columns + from, result.data, i * result.columns, to - from);
    }
    return result;
  }

  /** The given rows in the given order. */
  public Matrix gather(int[] indices) {
    Matrix result = zeros(indices.length, columns);
    for (int i = 0; i < indices.length; i++) {
      System.arraycopy(data, indices[i] * columns, result.data, i * columns, columns);
    }
    return result;
  }

  /** Adds row i of {@code values} to row {@code indices[i]} of this matrix. */
  public void scatterAdd(int[] indices, Matrix values) {
    for (int i = 0; i < indices.length; i++) {
      for (int j = 0; j < columns; j++) {
        add(indices[i], j, values.get(i, j));
      }
    }
  }

  /** This matrix times {@code b}. */
  public Matrix times(Matrix b) {
    requireEqual(columns, b.rows);
    Matrix result = zeros(rows, b.columns);
    for (int i = 0; i < rows; i++) {
      for (int l = 0; l < columns; l++) {
        double a = get(i, l);
        for (int j = 0; j < b.columns; j++) {
          result.data[i * b.columns + j] += a * b.data[l * b.columns + j];
        }
      }
    }
    return result;
  }

  /** This matrix times the transpose of {@code b}: x Wᵀ for weights [out, in]. */
  public Matrix timesTransposed(Matrix b) {
    requireEqual(columns, b.columns);
    Matrix result = zeros(rows, b.rows);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < b.rows; j++) {
        double sum = 0;
        for (int l = 0; l < columns; l++) {
          sum += data[i * columns + l] * b.data[j * columns + l];
        }
        result.set(i, j, sum);
      }
    }
    return result;
  }

  /** The transpose of this matrix times {@code b}: dyᵀ x for weights [out, in]. */
  public Matrix transposedTimes(Matrix b) {
    requireEqual(rows, b.rows);
    Matrix result = zeros(columns, b.columns);
    for (int l = 0; l < rows; l++) {
      for (int i = 0; i < columns; i++) {
        double a = get(l, i);
        for (int j = 0; j < b.columns; j++) {
          result.data[i * b.columns + j] += a * b.data[l * b.columns + j];
        }
      }
    }
    return result;
  }

  /** The sum, element by element. */
  public Matrix plus(Matrix b) {
    requireSameShape(b);
    Matrix result = copy();
    for (int i = 0; i < data.length; i++) {
      result.data[i] += b.data[i];
    }
    return result;
  }

  /** The sum with the one row {@code b} added to every row. */
  public Matrix plusRow(Matrix b) {
    requireEqual(columns, b.data.length);
    Matrix result = copy();
    for (int i = 0; i < data.length; i++) {
      result.data[i] += b.data[i % columns];
    }
    return result;
  }

  /** The product, element by element. */
  public Matrix hadamard(Matrix b) {
    requireSameShape(b);
    Matrix result = copy();
    for (int i = 0; i < data.length; i++) {
      result.data[i] *= b.data[i];
    }
    return result;
  }

  /** The transpose. */
  public Matrix transposed() {
    Matrix result = zeros(columns, rows);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        result.set(j, i, get(i, j));
      }
    }
    return result;
  }

  /** Every value times {@code factor}. */
  public Matrix scaled(double factor) {
    return map(value -> value * factor);
  }

  /** The function applied to every value. */
  public Matrix map(DoubleUnaryOperator function) {
    return new Matrix(rows, columns, Arrays.stream(data).map(function).toArray());
  }

  /** Every value rounded to the nearest float. */
  public Matrix rounded() {
    return map(value -> (float) value);
  }

  /** The sum of every column, as one row. */
  public Matrix columnSums() {
    Matrix result = zeros(1, columns);
    for (int i = 0; i < data.length; i++) {
      result.data[i % columns] += data[i];
    }
    return result;
  }

  /** The sum of all products of equal positions. */
  public double dot(Matrix b) {
    requireSameShape(b);
    double sum = 0;
    for (int i = 0; i < data.length; i++) {
      sum += data[i] * b.data[i];
    }
    return sum;
  }

  /** The Frobenius norm. */
  public double norm() {
    return Math.sqrt(dot(this));
  }

  /**
   * How far this matrix is from the reference {@code q}: ‖this − q‖ / ‖q‖ in the Frobenius norm;
   * NaN where either holds one, so that {@code distance <= tolerance} never passes. Two zero
   * matrices have distance 0.
   */
  public double distanceFrom(Matrix q) {
    double difference = plus(q.scaled(-1)).norm();
    return difference == 0 ? 0 : difference / q.norm();
  }

  private void requireSameShape(Matrix b) {
    requireEqual(rows, b.rows);
    requireEqual(columns, b.columns);
  }

  private static void requireEqual(int expected, int actual) {
    if (expected != actual) {
      throw new IllegalArgumentException("expected dimension " + expected + ", got " + actual);
    }
  }

  @Override
  public String toString() {
    return rows + " x " + columns + " " + Arrays.toString(data);
  }
}
