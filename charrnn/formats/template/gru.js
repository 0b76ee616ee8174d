/// step: A step of the cell
function step(W, Z, R, S) {
  const h = W.units;
  const H = new Float64Array(h);
  for (let j = 0; j < h; j++) {
    const r = sigmoid(Z[j] + R[j]);
    const u = sigmoid(Z[h + j] + R[h + j]);
    const M = R[2 * h + j] + W.c[j];
    const N = Math.tanh(Z[2 * h + j] + r * M);
    H[j] = N + u * (S.H[j] - N);
  }
  return { H };
}

function zeros(h) {
  return { H: new Float64Array(h) };
}
