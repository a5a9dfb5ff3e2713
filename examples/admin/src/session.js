// The token stays in memory, where other scripts cannot read it: a reload asks for the password again.
let token = null;

export const bearer = () => ({ Authorization: `Bearer ${token}` });

const post = (path, options) => fetch(`/api/${path}`, { method: "POST", ...options });

export async function signIn(username, password) {
  const response = await post("authentication_token", {
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(body.message ?? body.error);
  token = body.token;
}

export async function signOut() {
  const headers = bearer();
  token = null;
  await post("token/invalidate", { headers });
}
