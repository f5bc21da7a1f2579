// validatorUrl: null keeps Swagger UI from sending the document to a validator on the internet
const root = document.getElementById("swagger-ui");
window.ui = SwaggerUIBundle({
  url: root.dataset.spec,
  domNode: root,
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
});
