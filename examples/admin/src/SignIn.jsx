import { useState } from "react";
import { signIn } from "./session.js";

export function SignIn({ done }) {
  const [refusal, setRefusal] = useState("");

  async function submit(event) {
    event.preventDefault();
    const { username, password } = Object.fromEntries(new FormData(event.target));
    try {
      await signIn(username, password);
      done();
    } catch (failure) {
      setRefusal(failure.message);
    }
  }

  const row = { display: "block", margin: "0.75rem 0" };
  return (
    <form onSubmit={submit} style={{ maxWidth: "20rem", margin: "4rem auto", font: "1rem/1.5 sans-serif" }}>
      <h1>Users</h1>
      <label style={row}>User name <input name="username" autoComplete="username" required autoFocus /></label>
      <label style={row}>Password <input name="password" type="password" autoComplete="current-password" required /></label>
      <button type="submit">Sign in</button>
      <p role="alert">{refusal}</p>
    </form>
  );
}
