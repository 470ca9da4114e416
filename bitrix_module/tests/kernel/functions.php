<?php

// Promises: the kernel's global functions that the module and its pages call.
// Leans on: the stub's classes.
// Must never: escape less than the kernel does.

declare(strict_types=1);



function htmlspecialcharsbx($string, $flags = ENT_COMPAT, $doubleEncode = true)
{
    return htmlspecialchars((string)$string, $flags | ENT_SUBSTITUTE, 'UTF-8', $doubleEncode);
}

function bitrix_sessid()
{
    return 'stub-session';
}

function bitrix_sessid_post()
{
    return '<input type="hidden" name="sessid" value="' . bitrix_sessid() . '">';
}

function check_bitrix_sessid($varname = 'sessid')
{
    return ($_POST[$varname] ?? $_GET[$varname] ?? '') === bitrix_sessid();
}

function GetModuleEvents($moduleId, $messageId, $returnArray = false)
{
    return \Bitrix\Main\EventManager::getInstance()->findEventHandlers($moduleId, $messageId);
}

/** Both versions of handlers get the raw arguments here (kernel.md, "Module, handlers"). */
function ExecuteModuleEventEx($handler, $parameters = [])
{
    return \Bitrix\Main\EventManager::call($handler, $parameters);
}
