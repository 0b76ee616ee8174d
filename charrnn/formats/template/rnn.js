/// step: A step of the cell
const phi = {{phi}};

function step(W, Z, R, S) {
  return { H: plus(Z, R).map(phi) };
}

function zeros(h) {
  return { H: new Float64Array(h) };
}
