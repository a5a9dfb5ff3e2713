// Starts Swagger UI on our document and signs in. Nothing is stored: the token is gone with the page.
"use strict";

const { document: documentUrl, signIn: signInUrl } = document.getElementById("explorer").dataset;
const form = document.getElementById("sign-in");
const result = document.getElementById("sign-in-result");

const ui = SwaggerUIBundle({
  url: documentUrl,
  dom_id: "#swagger-ui",
  deepLinking: true,
  queryConfigEnabled: false,
  persistAuthorization: false,
  validatorUrl: null,
  tryItOutEnabled: true,
  // Until a media type is chosen, Swagger UI shows the first one and asks for any, which would be answered in another.
  requestInterceptor: (request) => {
    if (request.headers?.accept === "*/*") request.headers.accept = "application/json";
    return request;
  },
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { username, password } = Object.fromEntries(new FormData(form));
  result.textContent = "Signing in …";
  result.className = "";
  try {
    const response = await fetch(signInUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ username, password }),
    });
    const body = await response.json();
    if (!response.ok) throw new Error(body.message || body.error);
    ui.preauthorizeApiKey("JWT", body.token);
    form.elements.password.value = "";
    result.textContent = `Signed in as ${username}.`;
  } catch (failure) {
    result.textContent = failure.message;
    result.className = "refused";
  }
});
