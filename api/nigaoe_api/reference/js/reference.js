// @ts-check
// The browsable reference: Swagger UI over this service's own OpenAPI document.

/** @type {any} */ (window).SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#reference",
  deepLinking: true, // The address names the operation that is open.
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: false,
  validatorUrl: null, // It would send the document's address elsewhere.
});
