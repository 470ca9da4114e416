<?php

// Promises: the request and the server of this hit.
// Leans on: the superglobals.
// Must never: invent a host on the console.

declare(strict_types=1);


namespace Bitrix\Main;

class Context
{
    private ?HttpRequest $request = null;

    public static function getCurrent()
    {
        return Application::getInstance()->getContext();
    }

    public function getRequest()
    {
        return $this->request ??= new HttpRequest();
    }

    public function getServer()
    {
        return $this->getRequest();
    }
}
