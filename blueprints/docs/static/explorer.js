// Starts Swagger UI on our document and signs in. Nothing is stored: the token is gone with the page.
"use strict";

const { document: documentUrl, signIn: signInUrl, signOut: signOutUrl } = document.getElementById("explorer").dataset;
const [form, codeField, signedIn, who, timeLeft, signOutButton, result] = [
  "sign-in", "code-field", "signed-in", "who", "time-left", "sign-out", "sign-in-result",
].map((id) => document.getElementById(id));

const CODE_REQUIRED = "second_factor_required"; // docs/errors.md

let token = null;
let clock = null;

// Swagger UI has dark colors, but waits for this class.
const darkness = matchMedia("(prefers-color-scheme: dark)");
const followWish = () => document.documentElement.classList.toggle("dark-mode", darkness.matches);
darkness.addEventListener("change", followWish);
followWish();

// Programs that read aloud need these: no link inside the button of an operation, no choice among a single server, and a name
// for the field of a body.
const accessible = ({ React }) => ({
  components: { DeepLink: ({ text }) => React.createElement("span", null, text), ServersContainer: () => null },
  wrapComponents: {
    TextArea: (Original) => (props) => React.createElement(Original, { "aria-label": "Body", ...props }),
  },
});

const ui = SwaggerUIBundle({
  url: documentUrl,
  dom_id: "#swagger-ui",
  deepLinking: true,
  queryConfigEnabled: false,
  persistAuthorization: false,
  validatorUrl: null,
  tryItOutEnabled: true,
  plugins: [accessible],
  // The schemas stay folded.
  defaultModelsExpandDepth: 0,
  // Until a media type is chosen, Swagger UI shows the first one and asks for any, which would be answered in another.
  requestInterceptor: (request) => {
    if (request.headers?.accept === "*/*") request.headers.accept = "application/json";
    return request;
  },
});

function say(text, isRefused = false) {
  result.textContent = text;
  result.className = isRefused ? "refused" : "";
}

function askForCode(isAsked) {
  codeField.hidden = !isAsked;
  form.elements.totp.required = isAsked;
  form.elements.totp.value = "";
}

function show(username) {
  form.hidden = username !== null;
  signedIn.hidden = username === null;
  who.textContent = username === null ? "" : `Signed in as ${username}.`;
}

// The clocks of server and browser may differ, so only the lifetime counts.
function secondsOf(jwt) {
  const { iat, exp } = JSON.parse(atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  return exp - iat;
}

function countDown(endsAt) {
  const seconds = Math.ceil((endsAt - Date.now()) / 1000);
  if (seconds <= 0) {
    forget();
    say("The token has expired. Sign in again.", true);
    return;
  }
  timeLeft.textContent = seconds < 60 ? `The token is valid for ${seconds} s.` : `The token is valid for ${Math.floor(seconds / 60)} min.`;
}

function keep(jwt, username) {
  token = jwt;
  ui.preauthorizeApiKey("JWT", jwt);
  const endsAt = Date.now() + 1000 * secondsOf(jwt);
  clock = setInterval(countDown, 1000, endsAt);
  countDown(endsAt);
  form.elements.password.value = "";
  askForCode(false);
  show(username);
  say("");
  signOutButton.focus();
}

function forget() {
  clearInterval(clock);
  token = null;
  ui.authActions.logout(["JWT"]);
  show(null);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { username, password, totp } = Object.fromEntries(new FormData(form));
  say("Signing in …");
  try {
    const response = await fetch(signInUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(totp ? { username, password, totp } : { username, password }),
    });
    const body = await response.json();
    if (response.ok) {
      keep(body.token, username);
      return;
    }
    say(body.message || body.error, true);
    if (response.headers.get("X-Error-Code") === CODE_REQUIRED) {
      askForCode(true);
      form.elements.totp.focus();
    }
  } catch (failure) {
    say(failure.message, true);
  }
});

form.elements.username.addEventListener("input", () => askForCode(false));

signOutButton.addEventListener("click", async () => {
  const headers = { Authorization: `Bearer ${token}` };
  forget();
  form.elements.username.focus();
  try {
    const response = await fetch(signOutUrl, { method: "POST", headers });
    if (!response.ok) throw new Error(response.status);
    say("Signed out. The token has ended.");
  } catch (failure) {
    say(`Signed out here, but the server did not end the token (${failure.message}).`, true);
  }
});
