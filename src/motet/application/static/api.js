// Talks to the server that gave this page; the token is in the page's address.
const token = new URLSearchParams(location.search).get("token") ?? "";
const headers = { Authorization: `Bearer ${token}` };

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  } catch {
    throw new Error("The application does not answer. Start `motet app` again; nothing that was saved is lost.");
  }
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 400) || `The application answered ${answer.status}.`);
  return answer;
}

export async function get(path, query = {}) {
  return (await ask(`${path}?${new URLSearchParams(query)}`)).json();
}

export async function post(path, body) {
  return (await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
}

export async function numbers(path, query) {
  const answer = await ask(`${path}?${new URLSearchParams(query)}`);
  return { ...JSON.parse(answer.headers.get("x-meta")), values: new Float32Array(await answer.arrayBuffer()) };
}

export async function save(path, query) {
  const answer = await ask(`${path}?${new URLSearchParams(query)}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = answer.headers.get("x-name") ?? "export";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
