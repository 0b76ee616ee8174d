/// step: A step of the cell
function step(W, Z, R, S) {
  const h = W.units;
  const H = new Float64Array(h);
  const C = new Float64Array(h);
  for (let j = 0; j < h; j++) {
    const i = sigmoid(Z[j] + R[j]);
    const f = sigmoid(Z[h + j] + R[h + j]);
    const o = sigmoid(Z[2 * h + j] + R[2 * h + j]);
    const G = Math.tanh(Z[3 * h + j] + R[3 * h + j]);
    C[j] = f * S.C[j] + i * G;
    H[j] = o * Math.tanh(C[j]);
  }
  return { H, C };
}

function zeros(h) {
  return { H: new Float64Array(h), C: new Float64Array(h) };
}
